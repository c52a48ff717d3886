"""Has an engine read a long context a piece at a time, so that it can be left in between."""

from __future__ import annotations

from coe_lsp.engine.engine import Cancelled, Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.engine.sequence import Job, Sequence


class Reading:
    """What is being read of one sequence at a time, if anything is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._job: Job | None = None

    def advance(self, sequence: Sequence) -> bool:
        """Read on; True once all is read, False before that and if the engine was cancelled.

        `stop` comes before another sequence, or other tokens of the same.
        """
        try:
            if self._job is None:
                if sequence.pending <= 1:
                    return True
                self._job = self._engine.submit(sequence, Sampling(max_tokens=0))
            self._engine.step()
        except Cancelled:
            self._job = None
            return False
        if self._job.completion is None:
            return False
        self._job = None
        return True

    def stop(self) -> None:
        """Read no further; what was read stays."""
        if self._job is not None and self._job.completion is None:
            self._engine.drop(self._job)
        self._job = None
