"""Expert iteration: what the product's own search repairs becomes demonstrations for its model.

The expert is slow and sees more: mutations, donors and many chains of a model, under a budget. The
apprentice is a single chain of the model, which learns to write at once what the expert had to look
for (Anthony, Tian, Barber, arXiv 1705.08439, for games; that the expert is a search for repairs,
and that hidden tests judge it, is ours). Nothing is learned here, and no adapter is chosen.

A repair is learned from only if hidden tests pass too and it does not spell out what a test
expects; where there are too few tests to hide any, only if it means what the task's reference does.
It is pruned to the edits that the tests need, which are put in the order that the tests
suggest (`training.demonstrations.undo`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Literal

from attrs import frozen
from rapidfuzz.distance import Levenshtein

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.policy.protocol import LoadedPolicy
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.target.source import SourceError
from training.demonstrations.replay import Replayer
from training.demonstrations.undo import Lines, plan_undo, undo_commands
from training.meaning import meaning
from training.sampling.rollouts import Start, make_starts
from training.tasks.environment import open_environments
from training.tasks.records import Record
from training.tasks.tasks import Task

#: Opens a policy for one search; the weights behind it stay in memory.
OpenPolicy = Callable[[], AbstractContextManager[LoadedPolicy]]
Outcome = Literal["demonstration", "overfits", "not repaired", "left out"]

# Most that is repaired is repaired by mutations within this time: then no prompt need be read.
_SECONDS_WITHOUT_MODEL = 2.0
# Of the repairs of one program so many are looked at, best first.
_MOST_LOOKED_AT = 5
# A repair that changes more lines is not pruned: every pair of them may have to be tested.
_MOST_LINES_PRUNED = 8


@frozen
class Searched:
    """What came of one program.

    `overfits`: repaired by the tests that were shown, but by nothing that may be learned from.
    `left out`: repaired, but no demonstration can show it, being too long or in lines that are
    folded.
    """

    task_id: str
    outcome: Outcome
    record: Record | None = None

    def dumps(self) -> str:
        """One line of JSON."""
        record = None if self.record is None else self.record.dumps()
        data = {"task_id": self.task_id, "outcome": self.outcome, "record": record}
        return json.dumps(data, ensure_ascii=False)

    @classmethod
    def loads(cls, line: str) -> Searched:
        """Read what `dumps` wrote."""
        data = json.loads(line)
        record = None if data["record"] is None else Record.loads(data["record"])
        return cls(data["task_id"], data["outcome"], record)


def search_repairs(
    tasks: Sequence[Task],
    open_policy: OpenPolicy,
    *,
    seconds: float,
    max_turns: int,
    blocks: bool,
    with_instructions: float,
    sandbox: Sandbox,
    threads: int,
) -> Iterator[Searched]:
    """Search each faulty program for `seconds` at most; one result each, in order.

    A demonstration has at most `max_turns` commands, of several lines if `blocks` are allowed. What
    gives no result at all: see `open_environments` and `make_start`.
    """
    with ExitStack() as stack:
        environments = open_environments(tasks, sandbox, stack)
        for start in make_starts(environments, with_instructions, threads):
            programs = _search(start, open_policy, seconds)
            yield _choose(start, programs, max_turns=max_turns, blocks=blocks)


def _search(start: Start, open_policy: OpenPolicy, seconds: float) -> Sequence[PassingProgram]:
    """The repairs by the shown tests, best first."""
    deadline = Deadline(time.monotonic() + seconds)
    lines = start.program.split("\n")
    try:
        site = start.environment.site(lines, deadline)
    except SourceError:
        return ()
    if not site.verifier.target_tests:
        return ()
    search = site.search(SearchSettings(), deadline, lambda step: None, lambda: False)
    with search:
        search.run(until=min(deadline.end, time.monotonic() + _SECONDS_WITHOUT_MODEL))
        if not search.solved and deadline.left() > 0:
            with open_policy() as loaded:
                search.run(loaded)
                return search.found().patches
        search.run()  # to the end of the grace
        return search.found().patches


def _choose(
    start: Start, programs: Sequence[PassingProgram], *, max_turns: int, blocks: bool
) -> Searched:
    """The first of the repairs that all tests pass, as a demonstration."""
    environment = start.environment
    name = environment.task.task_id
    replayer = Replayer(environment)
    lines = tuple(start.program.split("\n"))
    right = [
        program
        for program in programs[:_MOST_LOOKED_AT]
        if not program.special
        and (environment.has_hidden or _is_reference(program.lines, environment.task))
        and replayer.judge(program.lines).right
    ]
    if not right:
        return Searched(name, "overfits" if programs else "not repaired")
    for program in right:
        goal = _prune(lines, program.lines, replayer)
        way = plan_undo(lines, goal, replayer.judge, whole=False, blocks=blocks, most=max_turns)
        if way is None:
            continue
        commands = undo_commands(way, words=False, blocks=blocks)
        episode = replayer.replay(lines, commands, instructions=start.instructions)
        if episode is not None:
            distance = Levenshtein.distance(episode.start.text, episode.pad.text)
            kinds = ("searched", program.kind or "model")
            return Searched(name, "demonstration", Record(name, episode, (), kinds, distance))
    return Searched(name, "left out")


def _is_reference(lines: Lines, task: Task) -> bool:
    """Whether a program means what the reference does, but for docstrings and annotations."""
    found = meaning("\n".join(lines))
    return found is not None and found == meaning(task.reference)


def _prune(lines: Lines, repaired: Lines, replayer: Replayer) -> Lines:
    """The repair without the lines that tests do not need changed; as it is where that fails."""
    way = plan_undo(
        lines, repaired, replayer.judge, whole=False, blocks=False, most=_MOST_LINES_PRUNED
    )
    return repaired if way is None else way[-1]
