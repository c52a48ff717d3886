"""Demonstrations as text for the eye: what was given, what is taught, what came of it.

The prompt itself is `training.model.encode`'s business; here is what a person needs to judge
whether a fault looks like one that somebody would make.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from training.tasks.records import Record

_RULE = "=" * 78


def show(record: Record) -> str:
    """One demonstration: state, feedback and command in turn, and the fault as a difference."""
    return "\n".join(_parts(record))


def _parts(record: Record) -> Iterator[str]:
    episode = record.episode
    yield _RULE
    yield f"{record.task_id}   [{'; '.join(record.kinds)}]"
    if episode.task.instructions:
        yield f"-- instructions\n{episode.task.instructions}"
    if episode.task.context:
        yield f"-- context\n{episode.task.context}"
    for test in episode.task.tests:
        yield f"-- test\n{test}"
    yield f"-- start\n{episode.start.render()}"
    for number, turn in enumerate(episode.turns):
        said = "not learned" if number in record.masked else "learned"
        yield f"-- turn {number + 1}, {said}\n{turn.command_text}"
        yield f"   {turn.pad.feedback}" if turn.pad.feedback else "   all tests pass"
    yield "-- the fault, from right to wrong"
    changed = difflib.unified_diff(episode.pad.lines, episode.start.lines, lineterm="", n=1)
    yield "\n".join(list(changed)[2:])
