"""One chain of edits: states and commands in turn, in one context that only grows.

An episode ends when all tests pass, when the model says EXIT, or after `max_turns` turns (10 in the
paper). A malformed command costs a turn, changes nothing and is told so. Episodes are immutable;
running tests between `attempt` and `extend` is the caller's task.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from coe_lsp.chain.commands import Command, CommandError, Exit, parse, render
from coe_lsp.chain.feedback import malformed_feedback
from coe_lsp.chain.prompt import PromptBuilder, Segment, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad

MAX_TURNS = 10


@frozen
class Attempt:
    """A command applied, not yet tested; if malformed, `command` is None and `error` set."""

    text: str
    command: Command | None
    error: str | None
    pad: Scratchpad

    @property
    def exits(self) -> bool:
        """Whether the command ends the episode."""
        return isinstance(self.command, Exit)


@frozen
class Turn:
    """One command and the state after it."""

    command_text: str
    command: Command | None
    error: str | None
    pad: Scratchpad
    passed: bool


@frozen
class Episode:
    """A task, its first state, and the turns so far."""

    task: TaskDescription
    start: Scratchpad
    turns: tuple[Turn, ...] = ()
    max_turns: int = MAX_TURNS

    @property
    def pad(self) -> Scratchpad:
        """The newest state."""
        return self.turns[-1].pad if self.turns else self.start

    @property
    def solved(self) -> bool:
        """Whether all tests pass in the newest state."""
        return bool(self.turns) and self.turns[-1].passed

    @property
    def exited(self) -> bool:
        """Whether the model said EXIT."""
        return bool(self.turns) and isinstance(self.turns[-1].command, Exit)

    @property
    def done(self) -> bool:
        """Whether there is no further turn."""
        return self.solved or self.exited or len(self.turns) >= self.max_turns

    def attempt(self, text: str) -> Attempt:
        """Parse and apply a command to the newest state. Never raises.

        A command that names a line or text that is not there counts as malformed, too.
        """
        text = text.removesuffix("\n")  # the context has the command's end there
        try:
            return self.apply(parse(text), text)
        except CommandError as error:
            return Attempt(text, None, str(error), evolve(self.pad, feedback=""))

    def apply(self, command: Command, text: str | None = None) -> Attempt:
        """Apply a command to the newest state; `text` is how it was written, if it was.

        Raises CommandError if it names a line or text that is not there.
        """
        return Attempt(
            render(command) if text is None else text, command, None, self.pad.apply(command)
        )

    def goes_back(self, attempt: Attempt) -> bool:
        """Whether an edit leads to a program that the chain had already, or changes nothing."""
        if attempt.error is not None or attempt.exits:
            return False
        before = (self.start, *(turn.pad for turn in self.turns))
        return any(attempt.pad.lines == pad.lines for pad in before)

    def extend(self, attempt: Attempt, feedback: str, passed: bool) -> Episode:
        """The episode one turn on; `feedback` is what the tests say of the attempt's lines.

        ValueError if the episode has ended.
        """
        if self.done:
            raise ValueError("the episode has ended")
        if attempt.error is not None:
            feedback = malformed_feedback(attempt.error, feedback)
        pad = evolve(attempt.pad, feedback=feedback)
        turn = Turn(attempt.text, attempt.command, attempt.error, pad, passed)
        return evolve(self, turns=(*self.turns, turn))


def episode_segments(builder: PromptBuilder, episode: Episode) -> Iterator[tuple[Segment, bool]]:
    """The episode's whole context as (segment, written by the model).

    The segments of an extended episode begin with those of the episode before it. The state after
    a turn that ended the episode is not shown to anybody. A command's end counts as the model's
    own: training teaches to stop there, although in serving the engine writes it.
    """
    for segment in builder.opening(episode.task, episode.start):
        yield segment, False
    for number, turn in enumerate(episode.turns, 1):
        yield Segment(turn.command_text, special=False), True
        yield builder.end_of(turn.command_text), True
        if number < len(episode.turns) or not episode.done:
            for segment in builder.next_turn(turn.pad):
                yield segment, False
