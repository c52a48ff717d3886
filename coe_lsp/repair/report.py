"""What a search found, as it is told: diffs of the file, the chain with its feedback, a sentence.

Runs candidates once more for the feedback of each turn; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.outcome import Counts, Link, Outcome, Repaired
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.target.source import Function, SourceFile, unified_diff
from coe_lsp.repair.task import feedback_text
from coe_lsp.repair.verify import Verifier


def repaired(patch: PassingProgram, source: SourceFile, target: Function, file: str) -> Repaired:
    """A patch of one function as a change of the file."""
    new = source.replace(target, patch.lines)
    diff = unified_diff(file, source.lines, new)
    return Repaired(diff, patch.reason, tuple(map(render, patch.commands)), source.encode(new))


def chain_of(
    commands: Sequence[Command], lines: Sequence[str], verifier: Verifier
) -> tuple[Link, ...]:
    """The commands once more, one after the other, each with what the tests say then."""
    pad = Scratchpad(tuple(lines))
    links: list[Link] = []
    for command in commands:
        pad = pad.apply(command)
        verdict = verifier.judge(pad.lines, late=True)
        feedback = feedback_text(verdict, verifier.function.first, len(pad.lines))
        links.append(
            Link(render(command), feedback, verdict.passed, verdict.total - verdict.passed)
        )
    return tuple(links)


def success(
    outcome: Outcome,
    target: Function,
    names: str,
    verifier: Verifier,
    shown: Sequence[Repaired],
    after: Counts,
    chain: tuple[Link, ...],
    source: SourceFile,
) -> Outcome:
    """The outcome with repairs; `names` says which functions are repaired, with the verb."""
    message = f"{names} repaired: {_count(len(verifier.tests), 'test')} passed."
    if after.failed:
        verb = "fails" if after.failed == 1 else "fail"
        message += f" {_count(after.failed, 'other test')} of the file still {verb}, as before."
    return evolve(
        outcome,
        status="repaired",
        function=target.name,
        diff=shown[0].diff,
        after=after,
        chain=chain,
        message=message,
        patches=tuple(shown),
        new_source=shown[0].new_source,
        old_source=source.encode(source.lines),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
