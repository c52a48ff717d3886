"""What programs that pass all tests do on other inputs: where they differ, the tests do not decide.

Runs each of them on the calls that the tests make, a little changed (`probes`), in the sandbox.
Only of functions that tests call with literals; of all others nothing is learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.files import read_text_bounded
from coe_lsp.repair.probes import find_calls, probes
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
_MOST_TESTS = 5


@frozen
class Behaviour:
    """What a program answers to each call: a value as text, or the name of an exception."""

    answers: tuple[str, ...]


@frozen
class Disagreement:
    """A call to which two programs give different answers."""

    call: str
    answers: tuple[str, str]


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
        suite = Suite("asserts", project.root, path, setup=_SETUP, statements=statements)
        limits = Limits(_PROGRAM_SECONDS, _CALL_SECONDS, timeouts=3)
        self._runner = SuiteRunner([suite], project.interpreter, project.sandbox, limits)

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def observe(self, lines: Sequence[str]) -> Behaviour:
        """What the program does with these lines of the function."""
        text = self._site.baseline.source
        run = self._runner.run(text.encode(text.replace(self._site.target, lines)))
        results = {result.id: result for result in run.results}
        answers: list[str] = []
        for number in range(1, len(self.calls) + 1):
            result = results.get(f"assert {number}")
            answers.append("" if result is None else _answer(result.outcome, result.detail))
        return Behaviour(tuple(answers))


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
        if path.suffix == ".py" and path.is_file():
            yield read_text_bounded(path, errors="replace")


def disagreement(calls: Sequence[str], one: Behaviour, other: Behaviour) -> Disagreement | None:
    """The first call to which both give an answer, and not the same one."""
    for call, mine, its in zip(calls, one.answers, other.answers, strict=True):
        if mine and its and mine != its:
            return Disagreement(call, (mine, its))
    return None
