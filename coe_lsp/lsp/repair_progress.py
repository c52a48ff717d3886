"""Carries what happens on the repair thread to the editor, in words that people know.

A `Watcher` of the repair, and a `ProgressSink` of what is fetched for it, which has a progress
report of its own: the one of the repair counts the seconds of the budget, of which that takes none.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coe_lsp.errors import CoeError
from coe_lsp.lsp.client import Client, Progress, State, Status
from coe_lsp.lsp.repair_job import RepairJob

if TYPE_CHECKING:
    from coe_lsp.execution.suite import Suite
    from coe_lsp.models.registry import ModelRef
    from coe_lsp.repair.scout import Scouted
    from coe_lsp.repair.search.step import Step
    from coe_lsp.repair.target.baseline import Baseline
    from coe_lsp.repair.target.source import Function

_SECONDS_A_REPORT = 0.1
_SECONDS_A_TICK = 1.0


class Cancelled(CoeError):
    """The user cancelled while something was fetched."""


class RepairProgress:
    """What one repair says, until it is stopped."""

    def __init__(
        self,
        job: RepairJob,
        client: Client,
        progress: Progress,
        budget: float,
        queue: Sequence[RepairJob],
    ) -> None:
        """`queue` has the repairs that wait."""
        self._loop = asyncio.get_running_loop()
        self._job = job
        self._client = client
        self._progress = progress
        self._budget = budget
        self._queue = queue
        self._name = job.function
        self._stopped = False
        self._said = ""
        self._tests = ""
        self._turn: int | None = None
        self._reported = 0.0
        self._best = 0
        self._total: int | None = None
        self._fetched = 0
        self._loading = False
        self._fetching: Progress | None = None
        self._ticking = self._loop.create_task(self._tick())

    # -- on the event loop

    def say(self, text: str, turn: int | None = None, tests: str = "") -> None:
        """Report, unless the repair has ended meanwhile. With a `turn` the search is on.

        What the `tests` say and the time come first: a long text is cut at its end.
        """
        if self._stopped:
            return
        self._end_fetching()
        self._loading = False
        self._said, self._turn, self._tests = text, turn, tests
        spent = self._job.repair.spent if self._job.repair is not None else None
        percentage, seconds = None, ""
        if spent is not None:
            seconds = f"{min(spent, self._budget):.0f}/{self._budget:.0f} s"
            percentage = min(100, int(100 * spent / self._budget))
        counts = ", ".join(filter(None, [tests, seconds]))
        text = f"{counts}: {text}" if counts else text
        self._progress.report(text, percentage)
        self._tell("repairing" if turn else "testing", text, percentage)

    def stop(self) -> None:
        """Nothing more is reported."""
        self._stopped = True
        self._ticking.cancel()
        self._end_fetching()

    async def _tick(self) -> None:
        """Let the seconds of the budget go on where nothing else happens."""
        while True:
            await asyncio.sleep(_SECONDS_A_TICK)
            if self._turn is not None and not self._loading:
                self.say(self._said, self._turn, self._tests)

    def _say_loading(self) -> None:
        if not self._stopped:
            self._loading = True
            self._tell("loading", "loading the model", None)

    def _say_fetching(self, text: str, percentage: int | None) -> None:
        if self._stopped:
            return
        self._loading = True
        if self._fetching is not None:
            self._fetching.report(text, percentage)
        self._tell("fetching", text, percentage)

    async def _begin_fetching(self, text: str) -> None:
        self._end_fetching()
        self._say_fetching(text, None)
        fetching = await self._client.progress("CoE", self._job.cancel, text)
        if self._stopped:
            fetching.end("")
        else:
            self._fetching = fetching

    def _end_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.end("")
            self._fetching = None

    def _tell(self, state: State, text: str, percentage: int | None) -> None:
        self._client.status(
            Status(
                state,
                f"{self._name or 'repair'}: {text}",
                repair=self._job.number,
                function=self._name,
                turn=self._turn if state == "repairing" else None,
                queued=len(self._queue) or None,
                percentage=percentage,
            )
        )

    # -- on the repair thread

    def later(self, text: str, turn: int | None = None, tests: str = "") -> None:
        """Have it said by the event loop."""
        self._loop.call_soon_threadsafe(functools.partial(self.say, text, turn, tests))

    def loading(self) -> None:
        """The model is being loaded."""
        self._loop.call_soon_threadsafe(self._say_loading)

    def loaded(self) -> None:
        """It is there, and the search goes on."""
        self._loop.call_soon_threadsafe(lambda: self.say(self._said, self._turn, self._tests))

    def baseline(self, baseline: Baseline, suites: Sequence[Suite]) -> None:
        """See `Watcher.baseline`."""
        self.later(f"{baseline.passed} passed, {len(baseline.failing)} failed")

    def scouted(self, scouted: Scouted) -> None:
        """See `Watcher.scouted`."""
        self.later(f"{len(scouted.passed)} passed, {len(scouted.targets)} failed")

    def target(self, file: str, function: Function, target_tests: Sequence[str]) -> None:
        """See `Watcher.target`."""
        self._name = function.name
        self._best = 0
        self.later("testing likely mistakes", 1)

    def step(self, step: Step) -> None:
        """See `Watcher.step`; not more often than people can read."""
        from coe_lsp.chain.wording import edit_in_words

        now = time.monotonic()
        self._best = max(self._best, step.passed)
        if not step.edit or (now - self._reported < _SECONDS_A_REPORT and step.passed < step.total):
            return
        self._reported = now
        what = edit_in_words(step.edit, step.first_line)
        best = f" ({self._best} at the best)" if self._best > step.passed else ""
        tests = f"{step.passed}/{step.total} tests{best}"
        if self._best == step.total and step.passed < step.total:
            tests, what = "repaired", f"looking for better (cancelling shows this one): {what}"
        self.later(what, step.turn, tests)

    def ask(self, ref: ModelRef) -> bool:
        """Ask whether the model may be fetched."""
        size = f" ({ref.size / 1e6:.0f} MB)" if ref.size else ""
        question = self._client.choose(
            f"{ref.name}{size} is not on this machine. Fetch it now, once?", "Fetch", "Not now"
        )
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        while not answer.done():
            if self._job.cancelled.wait(0.05):
                answer.cancel()
                raise Cancelled("Cancelled.")
        return answer.result() == "Fetch"

    def start(self, total: int | None, description: str) -> None:
        """See `ProgressSink.start`."""
        self._total, self._fetched = total, 0
        asyncio.run_coroutine_threadsafe(self._begin_fetching(description), self._loop)

    def advance(self, count: int) -> None:
        """See `ProgressSink.advance`."""
        if self._job.cancelled.is_set():
            raise Cancelled("Cancelled.")
        self._fetched += count
        now = time.monotonic()
        if now - self._reported >= _SECONDS_A_REPORT:
            self._reported = now
            of = f" of {self._total / 1e6:.0f}" if self._total else ""
            text = f"fetching the model: {self._fetched / 1e6:.0f}{of} MB"
            share = min(100, 100 * self._fetched // self._total) if self._total else None
            self._loop.call_soon_threadsafe(self._say_fetching, text, share)

    def message(self, text: str) -> None:
        """See `ProgressSink.message`."""
        self._loop.call_soon_threadsafe(self._say_fetching, text, None)
