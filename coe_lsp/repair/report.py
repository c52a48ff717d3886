"""What a search found, as it is told: patches with diffs, the chain with its feedback, a sentence.

Runs candidates once more for the feedback of each turn; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.chain.wording import edit_in_words
from coe_lsp.escaping import in_backticks
from coe_lsp.execution.suite import Run
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.outcome import Counts, Link, Outcome, Repaired
from coe_lsp.repair.reverts import Revert
from coe_lsp.repair.search.doubts import find_doubts
from coe_lsp.repair.search.ranking import MOST_SHOWN, PassingProgram
from coe_lsp.repair.site import Site, commands_to
from coe_lsp.repair.task import feedback_text
from coe_lsp.repair.verify import verdict


def show_patch(site: Site, program: PassingProgram) -> Repaired:
    """A program at a place as a patch of the user's files, with its diff and all commands."""
    patch, reason = site.patch(program.lines), program.reason
    texts = tuple(render(command) for command in (*commands_to(site), *program.commands))
    if site.base is not None:
        reason = f"with a change of {in_backticks(site.target.name)}; {reason}"
    doubt = " and ".join(dict.fromkeys([*_doubts_before(site), *program.doubts]))
    parts = [program.differs, doubt and f"doubtful: the change {doubt}", program.kind_in_words]
    return Repaired(
        patch,
        patch.diff(site.sources),
        reason,
        texts,
        doubt,
        kind=program.kind or program.origin,
        apart="; ".join(filter(None, parts)),
    )


def _doubts_before(site: Site) -> tuple[str, ...]:
    """What is doubtful about the changes that a place was searched on top of."""
    if (base := site.base) is None:
        return ()
    before = base.site.baseline.source.scratch_lines(base.site.target)
    return (*_doubts_before(base.site), *find_doubts(before, base.lines))


def replay_chain(
    site: Site, commands: Sequence[Command], last: Run | None = None
) -> tuple[Link, ...]:
    """The commands that led here and these, one after the other, each with what the tests say.

    `last` is a run of the tests with all of them, if there was one. In the words the function is
    named where there are several.
    """
    return tuple(_links(site, commands, last, named=site.base is not None))


def _links(
    site: Site, commands: Sequence[Command], last: Run | None = None, *, named: bool
) -> list[Link]:
    base, target = site.base, site.target
    links = _links(base.site, base.commands, named=True) if base else []
    where = f"{in_backticks(target.name)}, " if named else ""
    pad = Scratchpad(tuple(site.baseline.source.scratch_lines(target)))
    ended = verdict(last.results, site.verifier.tests) if last is not None else None
    for number, command in enumerate(commands, 1):
        pad = pad.apply(command)
        if number == len(commands) and ended is not None and ended.solved:
            told = evolve(ended, failures=())  # of tests that are not the function's
        else:
            told = site.verifier.judge(pad.lines, late=True)
        feedback = feedback_text(told, target.first, len(pad.lines))
        words = where + edit_in_words([command], target.first)
        links.append(Link(render(command), feedback, told.passed, told.failed, words))
    return links


def report_success(
    outcome: Outcome,
    site: Site,
    shown: Sequence[Repaired],
    after: Counts,
    tests: int,
    acceptance: Acceptance,
) -> Outcome:
    """The outcome with repairs, best first, of which all win so many `tests`.

    `acceptance` is what they do in all.
    """
    mine = site.first.target.name
    names = [mine, *(name for name in shown[0].patch.names if name != mine)]
    message = " and ".join(map(in_backticks, names))
    message += f" {'is' if len(names) == 1 else 'are'} repaired"
    if doubt := shown[0].doubt:
        message += f", but doubtful: the change {doubt}. {count(tests, 'test')} passed."
    else:
        message += f": {count(tests, 'test')} passed."
    if after.failed:
        verb = "fails" if after.failed == 1 else "fail"
        message += f" {count(after.failed, 'other test')} of the file still {verb}, as before."
    return evolve(
        outcome,
        status="repaired",
        file=site.first.file,
        function=mine,
        diff=shown[0].diff,
        after=after,
        message=message,
        patches=tuple(shown),
        sources=site.sources,
        acceptance=acceptance,
        project=site.project,
    )


def with_revert(outcome: Outcome, revert: Revert) -> Outcome:
    """The outcome with a patch that takes changes back: the last one, or the only one there is."""
    shown = revert.repaired
    if outcome.status == "repaired":
        patches = (*outcome.patches[: MOST_SHOWN - 1], shown)
        return evolve(outcome, patches=patches, sources={**revert.sources, **outcome.sources})
    run = revert.run
    return evolve(
        outcome,
        status="repaired",
        file=shown.patch.files[0],
        function=shown.patch.names[0],
        diff=shown.diff,
        after=Counts(run.passed, len(run.failures)),
        chain=(),
        message=f"Only this was found: it {shown.reason}. {count(run.passed, 'test')} passed.",
        patches=(shown,),
        partly=None,
        sources=revert.sources,
        acceptance=revert.acceptance,
        project=revert.project,
    )


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
