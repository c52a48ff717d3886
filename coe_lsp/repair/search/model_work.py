"""What a model does for one search: it reads the task, scores mutants, writes commands, judges.

One piece at a time, whenever it is asked, so that other things can be done in between. It tests
nothing: what was written goes to the tester.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from coe_lsp.chain.episode import Episode
from coe_lsp.repair.policy.protocol import ContextError, Judge, LoadedPolicy, Policy
from coe_lsp.repair.search.frontier import Frontier
from coe_lsp.repair.search.model_chains import ModelChains
from coe_lsp.repair.search.mutant_source import MutantSource
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.search.rescoring import rerank, score_mutants
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.states import State
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.search.stopping import StoppingRule
from coe_lsp.repair.search.tester import Tester

_POLL_SECONDS = 0.02
# The model scores the mutants of so many lines, of fewer once that has taken so many seconds.
_LINES_SCORED, _SECONDS_SCORING = 24, 3.0


class ModelWork:
    """The model's part of one search, for one model at a time.

    A model is absent until the first `ask`, and again after `release`. It drops out if the task
    does not fit its context (`refuses`) or if not even the start can be expanded (`asks`).
    """

    def __init__(
        self,
        start: State,
        frontier: Frontier,
        numbers: Iterator[int],
        mutants: MutantSource,
        tester: Tester,
        stopping: StoppingRule,
        suspects: Sequence[int],
        settings: SearchSettings,
        watch: Callable[[Step], None],
    ) -> None:
        """`suspects` are lines (1-based, of the start) with the most suspect first."""
        assert start.episode is not None
        self._episode: Episode = start.episode
        self._frontier, self._numbers = frontier, numbers
        self._mutants, self._tester, self._stopping = mutants, tester, stopping
        self._lines = suspects if settings.branch_points else ()
        self._unscored = list(suspects[:_LINES_SCORED]) if settings.rescoring else []
        self._settings = settings
        self._watch = watch
        self._chains: ModelChains | None = None
        self._judge: Judge | None = None
        self._refusing: list[Policy] = []
        self._scoring = 0.0
        #: For how long models were at work.
        self.seconds = 0.0

    @property
    def present(self) -> bool:
        """Whether there is a model now."""
        return self._chains is not None

    @property
    def reading(self) -> bool:
        """Whether a model has not read all of the task yet."""
        return self._chains is None or not self._chains.has_read

    @property
    def preparing(self) -> bool:
        """Whether a model has to read, or to score, before it writes."""
        return self.reading or (bool(self._unscored) and self._judge is not None)

    @property
    def answers(self) -> int:
        """How many commands a model has written since it came here."""
        return self._chains.answers if self._chains is not None else 0

    def refuses(self, loaded: LoadedPolicy) -> bool:
        """Whether the task does not fit this model."""
        return loaded.policy in self._refusing

    def asks(self, loaded: LoadedPolicy) -> bool:
        """Whether there is anything to ask this model for."""
        stuck = self._chains is not None and self._chains.stuck
        return not self.refuses(loaded) and not stuck

    def ask(self, loaded: LoadedPolicy) -> bool:
        """A piece of a model's work, which takes the place of another; False if there is none."""
        self._use(loaded)
        if self._chains is None or self._chains.stuck:
            return False
        started = time.monotonic()
        self._work(self._chains)
        self.seconds += time.monotonic() - started
        return True

    def release(self) -> None:
        """Leave the model free for another task; what it was writing is lost."""
        if self._chains is not None:
            self._chains.close()
            self._chains = None

    def tested(self, number: int, state: State) -> None:
        """A candidate of the model has become a state."""
        if self._chains is not None:
            self._chains.tested(number, state)

    def rerank(self, programs: Sequence[PassingProgram]) -> tuple[PassingProgram, ...]:
        """Repairs in the order that the model's likelihoods give them, if it has read the task."""
        judges = self._judge is not None and self._settings.rescoring and not self.reading
        if self._judge is None or not judges or len(programs) <= 1:
            return tuple(programs)
        return rerank(self._judge, self._episode, programs)

    def stop_reading(self) -> None:
        """End a reading at once, and with it all work of that model; from any thread."""
        chains = self._chains
        if chains is not None and not chains.has_read:
            chains.policy.interrupt()

    def _use(self, loaded: LoadedPolicy) -> None:
        self._frontier.keep_ties = loaded.trained
        if self._chains is not None and self._chains.policy is not loaded.policy:
            self.release()
        if self._chains is None and not self.refuses(loaded):
            self._judge = loaded.judge
            samples = min(self._settings.samples, loaded.commands_a_turn or self._settings.samples)
            self._chains = ModelChains(
                loaded, self._frontier, self._numbers, self._lines, samples, self._watch
            )

    def _work(self, chains: ModelChains) -> None:
        """One piece: reading, then scoring mutants, then writing commands."""
        if not chains.has_read:
            try:
                chains.read()
            except ContextError:  # mutations do not mind
                self._refusing.append(chains.policy)
                self.release()
            return
        if self._unscored and self._judge is not None:
            self._score(self._unscored.pop(0), self._judge)
            return
        self._stopping.model_scored()
        chains.request(self._wants_commands)
        if not chains.writing:  # the tests have fallen behind
            self._tester.wait(_POLL_SECONDS)
            return
        for candidate in chains.write():
            self._tester.submit(candidate)

    def _score(self, line: int, judge: Judge) -> None:
        started = time.monotonic()
        self._mutants.add_scores(score_mutants(judge, self._episode, line, self._mutants.of_start))
        self._scoring += time.monotonic() - started
        if self._scoring >= _SECONDS_SCORING and not self._stopping.counted:
            self._unscored.clear()

    def _wants_commands(self) -> bool:
        # Once there is a repair, the grace is too short for another command to be written in.
        choosing = self._stopping.repaired_at is not None and not self._stopping.counted
        return not choosing and not self._stopping.over(self._tester.attempts, model=True)
