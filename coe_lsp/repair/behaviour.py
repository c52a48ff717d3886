"""What programs that pass all tests do on other inputs: where they differ, the tests do not decide.

Runs each of them on the calls that the tests make, a little changed (`probes`), in the sandbox.
Only of functions that tests call with literals; of all others nothing is learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from attrs import evolve

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.files import read_text_bounded
from coe_lsp.repair.probes import find_calls, probes
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.site import Site

# Seconds for one call, for one program, and for all of them.
_CALL_SECONDS, _PROGRAM_SECONDS = 0.3, 2.0
_MARK = "coe shows "
_SETUP = f"""
def __coe_show(value):
    import itertools
    if hasattr(value, "__next__"):
        value = list(itertools.islice(value, 100))
    raise LookupError({_MARK!r} + repr(value)[:300])
"""
_SHOWN = re.compile(rf"LookupError: {_MARK}(.*)\n in ", re.DOTALL)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_MOST_TESTS, _MOST_PROGRAMS, _LONGEST_ANSWER = 5, 6, 60


#: What a program answers to each call: a value as text, or the name of an exception.
Answers = tuple[str, ...]


class Observer:
    """Runs programs of one place on the same calls; a context that ends its process."""

    def __init__(self, site: Site) -> None:
        """It has no `calls` where nothing can be learned."""
        target = site.target
        self._site = site
        self.calls: list[str] = []
        if not target.owner and target.name.isidentifier():
            self.calls = probes(find_calls(_texts(site), target.name), target.name)
        project = site.project
        statements = tuple(f"__coe_show({call})" for call in self.calls)
        path = project.root / site.file
        overlay = project.suites[0].overlay  # what else was changed, or is not saved
        suite = Suite("asserts", project.root, path, (), _SETUP, statements, overlay)
        limits = Limits(_PROGRAM_SECONDS, _CALL_SECONDS, timeouts=3)
        self._runner = SuiteRunner([suite], project.interpreter, project.sandbox, limits)

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def observe(self, lines: Sequence[str]) -> Answers:
        """What the program does with these lines of the function."""
        text = self._site.baseline.source
        run = self._runner.run(text.encode(text.replace(self._site.target, lines)))
        results = {result.id: result for result in run.results}
        answers: list[str] = []
        for number in range(1, len(self.calls) + 1):
            result = results.get(f"assert {number}")
            answers.append("" if result is None else _answer(result.outcome, result.detail))
        return tuple(answers)


def _answer(outcome: str, detail: str) -> str:
    if outcome == "timeout":
        return "no end"
    shown = _SHOWN.match(detail)
    return _ADDRESS.sub("", shown[1]) if shown else detail.partition(":")[0].partition("\n")[0]


def _texts(site: Site) -> Iterator[str]:
    """The texts of the tests: statements, and the files of pytest's tests."""
    for suite in site.runner.suites:
        yield "\n".join(suite.statements)
    files = dict.fromkeys(test.partition("::")[0] for test in site.baseline.results)
    for name in list(files)[:_MOST_TESTS]:
        path = site.project.root / name
        if path.suffix == ".py":
            with suppress(OSError):
                yield read_text_bounded(path, errors="replace")


def tell_apart(site: Site, programs: Sequence[PassingProgram]) -> list[PassingProgram]:
    """The programs, those first that do something new, with what sets them apart from the first.

    Which is right nobody can say but the user. Those that differ in nothing that was tried come
    last; all keep their order otherwise.
    """
    first, rest = list(programs[:_MOST_PROGRAMS]), programs[_MOST_PROGRAMS:]
    if len(first) < 2:
        return list(programs)
    with Observer(site) as observer:
        if not observer.calls:
            return list(programs)
        answers = [observer.observe(program.lines) for program in first]
    new: list[PassingProgram] = []
    same: list[PassingProgram] = []
    seen: set[Answers] = set()
    for program, mine in zip(first, answers, strict=True):
        told = _difference(observer.calls, mine, answers[0])
        (same if mine in seen else new).append(evolve(program, differs=told))
        seen.add(mine)
    return [*new, *same, *rest]


def _difference(calls: Sequence[str], mine: Answers, first: Answers) -> str:
    """The shortest call to which both give an answer, and not the same one, in words."""
    found = [
        (call, one, other)
        for call, one, other in zip(calls, mine, first, strict=True)
        if one and other and one != other
    ]
    if not found:
        return ""
    call, one, other = min(found, key=lambda entry: len("".join(entry)))
    return f"{call} gives {_short(one)} instead of {_short(other)}"


def _short(answer: str) -> str:
    return answer if len(answer) <= _LONGEST_ANSWER else answer[: _LONGEST_ANSWER - 3] + "..."
