"""What programs that pass all tests do on other inputs: where they differ, the tests do not decide.

Each of them runs some of the tests once more, in the sandbox, while the calls that these make of
the function are tried with other arguments (`execution.observation`). Of functions that are
asynchronous or generators, and where processes cannot be forked, nothing is learned. Which of two
answers is right is not decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from attrs import evolve

from coe_lsp.execution.observation import OUTPUT_BYTES, Answers, answers_of, with_observer
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.site import Site

# Seconds for all programs together; what one run of the tests gets beyond what it takes otherwise.
_MOST_SECONDS, _MORE_SECONDS = 3.0, 2.0
_MOST_TESTS, _MOST_PROGRAMS, _LONGEST_ANSWER = 12, 6, 60


def tell_apart(
    site: Site, programs: Sequence[PassingProgram], cancelled: Callable[[], bool]
) -> list[PassingProgram]:
    """The programs, those first that do something new, with what sets them apart from the first.

    Which is right nobody can say but the user. Those that differ in nothing that was tried come
    last; all keep their order otherwise.
    """
    end = time.monotonic() + _MOST_SECONDS
    first = list(programs[:_MOST_PROGRAMS])
    if len(first) < 2:
        return list(programs)
    tests = _tests(site)
    began = time.monotonic()
    reference = observe(site, first[0].lines, tests)
    each = time.monotonic() - began
    # What differs from run to run of one program says nothing.
    if not reference or 3 * each > _MOST_SECONDS:
        return list(programs)
    again = observe(site, first[0].lines, tests)
    reference = {call: text for call, text in reference.items() if again.get(call) == text}
    new, same = [first[0]], list[PassingProgram]()
    seen = [reference]
    for number, program in enumerate(first[1:], 1):
        if cancelled() or time.monotonic() + each > end:
            return [*new, *same, *programs[number:]]
        mine = observe(site, program.lines, tests)
        told = _difference(mine, reference)
        known = any(all(mine.get(call) == other[call] for call in other) for other in seen)
        (same if known else new).append(evolve(program, differs=told))
        if all(call in mine for call in reference):
            seen.append({call: mine[call] for call in reference})
    return [*new, *same, *programs[_MOST_PROGRAMS:]]


def _tests(site: Site) -> list[str]:
    """Some tests that run the function: half of them failing, if there are so many."""
    wanted, others = site.verifier.target_tests, site.verifier.covering_tests
    passing = [test for test in others if test not in wanted]
    failing = wanted[: max(_MOST_TESTS // 2, _MOST_TESTS - len(passing))]
    chosen = {*failing, *passing[: _MOST_TESTS - len(failing)]}
    return [test for test in site.baseline.results if test in chosen]


def observe(site: Site, lines: Sequence[str], tests: Sequence[str]) -> Answers:
    """What the function with these lines answers to the tests' calls, and to calls like them."""
    watched = with_observer(lines)
    if watched is None:
        return {}
    limits, baseline = site.runner.limits, site.baseline
    seconds = baseline.overhead + sum(baseline.results[test].seconds for test in tests)
    limits = evolve(
        limits,
        wall_seconds=min(limits.wall_seconds, _MORE_SECONDS + 3 * seconds),
        test_seconds=min(limits.test_seconds, _MORE_SECONDS + 3 * seconds),
        output_bytes=OUTPUT_BYTES,
    )
    program = baseline.source.encode(baseline.source.replace(site.target, watched))
    return answers_of(site.runner.run(program, tests, limits=limits))


def _difference(mine: Answers, first: Answers) -> str:
    """The shortest call to which both give an answer, and not the same one, in words."""
    found = [
        (call, mine[call], other)
        for call, other in first.items()
        if call in mine and mine[call] != other
    ]
    if not found:
        return ""
    call, one, other = min(found, key=lambda entry: len("".join(map(str, entry))))
    return f"{call} gives {_short(one)} instead of {_short(other)}"


def _short(answer: str) -> str:
    return answer if len(answer) <= _LONGEST_ANSWER else answer[: _LONGEST_ANSWER - 3] + "..."
