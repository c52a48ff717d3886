"""The chains of commands that a model writes for one search: many at a time, its batch always full.

It decides what to ask for next and when what the policy keeps can go. The ids of requests are known
here and in the policy alone; to the rest of the search a chain is a state. It tests nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from coe_lsp.repair.policy.protocol import CommandRequest, LoadedPolicy, Proposal
from coe_lsp.repair.search.frontier import Frontier
from coe_lsp.repair.search.states import State
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.search.tester import Candidate

# Candidates of the model that may wait for the tests: each keeps a sequence of the engine.
_MOST_UNTESTED = 16
# Every how many commands the model chooses the line by itself.
_FREE_EVERY_TRAINED, _FREE_EVERY_UNTRAINED = 2, 4


class ModelChains:
    """Asks a policy for commands that expand the states of a frontier.

    What the policy keeps for an id is needed while its command is being written (`_pending`), while
    the program waits for the tests (`_untested`), and while its state is in the frontier
    (`_expandable`). Everything else is given back by `_release_unused`, and by nothing else.
    """

    def __init__(
        self,
        loaded: LoadedPolicy,
        frontier: Frontier,
        numbers: Iterator[int],
        target_lines: Sequence[int],
        samples: int,
        watch: Callable[[Step], None],
    ) -> None:
        """`numbers` counts the candidates of the search; `samples` commands are written at a time.

        `target_lines` (1-based, of the start, most suspect first) are lines to have replaced.
        `watch` is told of commands that change nothing; all others are told once they are tested.
        """
        self.policy = loaded.policy
        #: Whether the policy has read the task.
        self.has_read = False
        #: Whether nothing more can be asked for.
        self.stuck = False
        #: How many commands were written.
        self.answers = 0
        self._frontier = frontier
        self._start = frontier.states[0]
        self._numbers = numbers
        self._target_lines = target_lines
        self._samples = samples
        self._free_every = _FREE_EVERY_TRAINED if loaded.trained else _FREE_EVERY_UNTRAINED
        self._watch = watch
        self._chosen = 0
        self._ids = itertools.count(1)
        self._held: set[int] = set()  # ids for which the policy may keep something
        self._pending: dict[int, tuple[State, int]] = {}  # with the candidate's number
        self._untested: dict[int, int] = {}  # ids by the candidate's number
        self._expandable: dict[State, int] = {}

    @property
    def writing(self) -> bool:
        """Whether any command is being written."""
        return bool(self._pending)

    def read(self) -> None:
        """Read a piece of the task; ContextError if it does not fit the model's context."""
        assert self._start.episode is not None
        self.has_read = self.policy.read(self._start.episode)

    def request(self, wanted: Callable[[], bool]) -> None:
        """Ask for commands until the batch is full or none is `wanted`."""
        self._release_unused()
        while self._has_room() and wanted():
            state, line = self._choose()
            assert state.episode is not None  # others do not get into the frontier
            id, number = self._new_id(), next(self._numbers)
            parent = None if state is self._start else self._id_of(state)
            request = CommandRequest(id, state.episode, parent, line, seed=number)
            if self.policy.ask(request):
                self._pending[id] = state, number
                continue
            if state is self._start:
                self.stuck = not self._pending
                return
            self._frontier.remove(state)
            self._release_unused()

    def write(self) -> list[Candidate]:
        """Advance all commands by a token; the programs of those that are complete."""
        candidates = [self._candidate(proposal) for proposal in self.policy.step()]
        self.answers += len(candidates)
        return [candidate for candidate in candidates if candidate is not None]

    def tested(self, number: int, state: State) -> None:
        """A candidate of the model has become a state; nothing if it was of other chains."""
        if number in self._untested:
            self._expandable[state] = self._untested.pop(number)

    def close(self) -> None:
        """Give back all that the policy keeps, but what it has read of the task."""
        self._pending.clear()
        self._untested.clear()
        self._expandable.clear()
        self._release_unused()

    def _release_unused(self) -> None:
        states = self._frontier.states
        self._expandable = {s: id for s, id in self._expandable.items() if s in states}
        used = {*self._pending, *self._untested.values(), *self._expandable.values()}
        for id in sorted(self._held - used):
            self.policy.forget(id)
        self._held &= used

    def _has_room(self) -> bool:
        return len(self._pending) < self._samples and len(self._untested) < _MOST_UNTESTED

    def _choose(self) -> tuple[State, int | None]:
        """What to ask for next: the state to expand, and the line to be replaced.

        Lines of the start are given, most suspect first, three times out of four to an untrained
        model, and every other time to a trained one, which is better at choosing by itself.
        """
        self._chosen += 1
        if self._chosen % self._free_every == 0 or not self._target_lines:
            return self._frontier.next(), None
        nth = self._chosen - self._chosen // self._free_every - 1
        return self._start, self._target_lines[nth % len(self._target_lines)]

    def _candidate(self, proposal: Proposal) -> Candidate | None:
        """The program that a proposal makes; None, and a step told, if it changes nothing."""
        state, number = self._pending.pop(proposal.id)
        assert state.episode is not None
        attempt = state.episode.attempt(proposal.text)
        if attempt.command is None or attempt.pad.lines == state.lines:
            error = attempt.error or "nothing changed"
            depth, verdict = state.depth + 1, state.verdict
            self._watch(Step(number, depth, proposal.text, verdict.passed, verdict.total, error))
            return None
        self._untested[number] = proposal.id
        return Candidate(
            attempt.pad.lines,
            "model",
            (attempt.command,),
            state,
            number,
            logprob=state.logprob + proposal.logprob,
        )

    def _id_of(self, state: State) -> int:
        if state not in self._expandable:  # a mutant's: the policy has not read it yet
            self._expandable[state] = self._new_id()
        return self._expandable[state]

    def _new_id(self) -> int:
        id = next(self._ids)
        self._held.add(id)
        return id
