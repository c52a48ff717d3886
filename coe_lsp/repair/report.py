"""What a search found, as it is told: patches with diffs, the chain with its feedback, a sentence.

Runs candidates once more for the feedback of each turn; decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.outcome import Counts, Link, Outcome, Repaired
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.task import feedback_text
from coe_lsp.repair.verify import Verifier


def show_patch(
    patch: Patch, sources: Mapping[str, SourceFile], reason: str, commands: Sequence[Command]
) -> Repaired:
    """A patch with its diff, why it stands where it does, and the commands that led to it."""
    texts = tuple(render(command) for command in commands)
    return Repaired(patch, patch.diff(sources), reason, texts)


def replay_chain(
    commands: Sequence[Command], lines: Sequence[str], verifier: Verifier
) -> tuple[Link, ...]:
    """The commands once more, one after the other, each with what the tests say then."""
    pad = Scratchpad(tuple(lines))
    links: list[Link] = []
    for command in commands:
        pad = pad.apply(command)
        verdict = verifier.judge(pad.lines, late=True)
        feedback = feedback_text(verdict, verifier.function.first, len(pad.lines))
        links.append(Link(render(command), feedback, verdict.passed, verdict.failed))
    return tuple(links)


def report_success(
    outcome: Outcome,
    verifier: Verifier,
    shown: Sequence[Repaired],
    sources: Mapping[str, SourceFile],
    after: Counts,
    chain: tuple[Link, ...],
) -> Outcome:
    """The outcome with repairs, best first, of what the `verifier` was to win."""
    mine = verifier.function.name
    names = [mine, *(name for name in shown[0].patch.names if name != mine)]
    message = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} repaired: "
    message += f"{_count(len(verifier.tests), 'test')} passed."
    if after.failed:
        verb = "fails" if after.failed == 1 else "fail"
        message += f" {_count(after.failed, 'other test')} of the file still {verb}, as before."
    return evolve(
        outcome,
        status="repaired",
        function=verifier.function.name,
        diff=shown[0].diff,
        after=after,
        chain=chain,
        message=message,
        patches=tuple(shown),
        sources=sources,
        acceptance=verifier.acceptance,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
