"""What a set of traces teaches, in numbers: read from the records alone, no test is run.

Shares that say whether a trace is worth learning: does a command change what the tests say, is it
where the feedback points, would the search have found the repair by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from attrs import field, frozen

from coe_lsp.chain.commands import AddBlock, AddLine, Command, Exit, ReplaceBlock
from coe_lsp.chain.edits import hunks_between
from training.demonstrations.unaided import FIRST, is_found_unaided
from training.meaning import does_parse
from training.tasks.records import Record

_TOO_LONG = "ran too long"
_NAMED = re.compile(r"\(line (\d+)\)")


@frozen
class Target:
    """A command that is learned: what the feedback said before, and what became of it."""

    changes_feedback: bool
    last: bool
    names_line: bool
    on_named_line: bool
    breaks: bool


def find_targets(record: Record) -> Iterator[Target]:
    """The learned commands of a trace."""
    before = record.episode.start
    turns = record.episode.turns
    for number, turn in enumerate(turns):
        if number not in record.masked and turn.command is not None:
            named = {int(number) for number in _NAMED.findall(before.feedback)}
            yield Target(
                turn.pad.feedback != before.feedback,
                number == len(turns) - 1,
                bool(named),
                not named.isdisjoint(_touched(turn.command)),
                does_parse(before.text) and not does_parse(turn.pad.text),
            )
        before = turn.pad


def _touched(command: Command) -> range:
    """The lines that a command is about; of what is inserted the lines before and after."""
    match command:
        case AddLine(line) | AddBlock(line):
            return range(line - 1, line + 1)
        case ReplaceBlock(first, last):
            return range(first, last + 1)
        case Exit():
            return range(0)
        case _:
            return range(command.line, command.line + 1)


@frozen
class Measures:
    """Counts over a set of traces."""

    counts: Counter[str] = field(factory=Counter[str])
    mix: Counter[str] = field(factory=Counter[str])

    def add(self, record: Record) -> None:
        """Count a trace."""
        counts, episode = self.counts, record.episode
        start, goal = episode.start.lines, episode.pad.lines
        hunks = hunks_between(start, goal)
        size = max((max(h.last - h.first, h.end - h.start) for h in hunks), default=0)
        self.mix.update(kind.partition(":")[0] for kind in record.kinds[:1])
        states = [episode.start, *(turn.pad for turn in episode.turns)]
        counts["traces"] += 1
        counts["turns"] += len(episode.turns)
        counts["start does not parse"] += not does_parse("\n".join(start))
        counts["one line"] += len(hunks) == 1 and size == 1
        counts["one hunk of several lines"] += len(hunks) == 1 and size > 1
        counts["several hunks"] += len(hunks) > 1
        counts["found by the search"] += is_found_unaided(start, goal)
        counts["in a class"] += "class " in episode.task.context
        counts["with context"] += bool(episode.task.context)
        counts["with tests"] += bool(episode.task.tests)
        counts["folded"] += bool(episode.start.hidden)
        counts["a test ran too long"] += any(_TOO_LONG in pad.feedback for pad in states)
        for target in find_targets(record):
            counts["targets"] += 1
            counts["change the feedback"] += target.changes_feedback
            counts["not last"] += not target.last
            counts["not last, change the feedback"] += target.changes_feedback and not target.last
            counts["feedback names a line"] += target.names_line
            counts["on a named line"] += target.on_named_line
            counts["parse no more"] += target.breaks

    def rows(self) -> list[tuple[str, str]]:
        """What to print: a name and a value."""
        counts = self.counts
        traces, targets = counts["traces"], counts["targets"]

        def share(name: str, whole: int) -> str:
            return f"{counts[name]} of {whole} ({counts[name] / max(whole, 1):.0%})"

        shares = ", ".join(f"{k} {n / self.mix.total():.0%}" for k, n in self.mix.most_common())
        found = f"goal among the search's first {FIRST}"
        return [
            ("traces", str(traces)),
            ("turns a trace", f"{counts['turns'] / max(traces, 1):.2f}"),
            ("mix as realised", shares),
            ("targets after which the feedback changes", share("change the feedback", targets)),
            (
                "  of those that are not the last",
                share("not last, change the feedback", counts["not last"]),
            ),
            (
                "targets on a line that the feedback names, where it does",
                share("on a named line", counts["feedback names a line"]),
            ),
            ("targets after which the program parses no more", share("parse no more", targets)),
            (found, share("found by the search", traces)),
            *(
                (name, share(name, traces))
                for name in (
                    "start does not parse",
                    "one line",
                    "one hunk of several lines",
                    "several hunks",
                    "with context",
                    "in a class",
                    "with tests",
                    "folded",
                    "a test ran too long",
                )
            ),
        ]


def measure(records: Iterable[Record]) -> Measures:
    """The measures of a set of traces."""
    measures = Measures()
    for record in records:
        measures.add(record)
    return measures
