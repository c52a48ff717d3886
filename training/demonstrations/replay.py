"""Tests programs of a task, each once, and replays commands: what a demonstration shows is true.

Knows neither where a fault comes from nor who found its repair: `traces` and the expert of
`training.sampling.expert` both end here.
"""

from __future__ import annotations

from collections.abc import Sequence

from coe_lsp.chain.commands import Command, render
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.verify import Verdict
from training.demonstrations.undo import Judged, Lines
from training.tasks.environment import TaskEnvironment

# Serving ends a command after 256 tokens.
_LONGEST_COMMAND = 900


class Replayer:
    """One task's programs, judged by the tests of its environment."""

    def __init__(self, environment: TaskEnvironment) -> None:
        self._environment = environment
        self._known: dict[Lines, Verdict] = {}
        self._right: dict[Lines, bool] = {}

    def verdict(self, lines: Lines) -> Verdict:
        """What the tests that are shown say of a program."""
        if lines not in self._known:
            self._known[lines] = self._environment.evaluate(lines)
        return self._known[lines]

    def judge(self, lines: Lines) -> Judged:
        """What all tests say of a program, hidden ones too."""
        found = self.verdict(lines)
        if found.solved and lines not in self._right:
            self._right[lines] = self._environment.passes_hidden(lines)
        return Judged(
            found.solved,
            found.solved and self._right[lines],
            found.failed,
            self._environment.named_lines(found, lines),
            self._environment.feedback(found, lines),
        )

    def replay(
        self, start: Lines, commands: Sequence[Command], *, instructions: str
    ) -> Episode | None:
        """The episode of these commands, if it takes all of them to make all shown tests pass.

        None if one of them changes a line that is not shown, or is too long for serving.
        """
        if any(len(render(command)) > _LONGEST_COMMAND for command in commands):
            return None
        environment, before = self._environment, self.verdict(start)
        task = environment.describe(before, start, instructions=instructions)
        pad = Scratchpad(
            start, environment.feedback(before, start), environment.hidden_lines(start)
        )
        episode = Episode(task, pad)
        for command in commands:
            first = getattr(command, "line", None) or getattr(command, "first", 1)
            last = getattr(command, "last", first)
            if not episode.pad.hidden.isdisjoint(range(first, last + 1)):
                return None
            attempt = episode.attempt(render(command))
            after = self.verdict(attempt.pad.lines)
            feedback = environment.feedback(after, attempt.pad.lines)
            episode = episode.extend(attempt, feedback, after.solved)
            if episode.done:
                break
        whole = episode.solved and len(episode.turns) == len(commands)
        return episode if whole else None
