"""Repairs: queued, run on their own thread, watched, cancelled, and offered to the user.

One repair at a time, since there is one model; others wait and say so. The model's thread is the
only one that touches it. What is offered fits the document as it is then, or is not offered.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve
from lsprotocol import types

from coe_lsp.errors import CoeError
from coe_lsp.lsp.aside import aside
from coe_lsp.lsp.client import Client, Status
from coe_lsp.lsp.diagnostics import count
from coe_lsp.lsp.log import log_broken
from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.lsp.patch_review import PatchReview
from coe_lsp.lsp.repair_job import RepairJob
from coe_lsp.lsp.repair_progress import RepairProgress
from coe_lsp.lsp.trust import Trust, UntrustedError
from coe_lsp.lsp.workspace import Document, DocumentError, Workspace, name_of
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings

if TYPE_CHECKING:
    from coe_lsp.repair.outcome import Outcome
    from coe_lsp.repair.policy.protocol import LoadedPolicy
    from coe_lsp.repair.search.settings import SearchSettings
    from coe_lsp.repair.target.source import SourceFile

_log = logging.getLogger(__name__)


class Repairs:
    """All repairs of a server."""

    def __init__(
        self,
        workspace: Workspace,
        client: Client,
        trust: Trust,
        review: PatchReview,
        host: ModelHost,
        warm: WarmRunners,
        search: SearchSettings | None,
    ) -> None:
        self._workspace = workspace
        self._client = client
        self._trust = trust
        self._review = review
        self._host = host
        self._warm = warm
        self._search = search
        self._numbers = itertools.count(1)
        self._queue: list[RepairJob] = []
        self._current: RepairJob | None = None
        self._worker: asyncio.Task[None] | None = None
        #: The model belongs to this thread.
        self._thread = ThreadPoolExecutor(1, "coe-repair")
        self._outcomes: dict[str, Outcome] = {}
        self._last: str | None = None

    def outcome(self, uri: str | None) -> Outcome | None:
        """What the last repair of a document, or of any, came to."""
        return self._outcomes.get(uri or self._last or "")

    def request(
        self, uri: str, function: str | None, token: types.ProgressToken | None = None
    ) -> RepairJob | None:
        """Queue a repair; None if the same one waits or is under way already.

        With a `token` its progress is reported there.
        """
        jobs = [*([self._current] if self._current else []), *self._queue]
        if any((j.uri, j.function) == (uri, function) and not j.cancelled.is_set() for j in jobs):
            what = f"`{function}`" if function else "This file"
            self._client.message(f"{what} is being repaired already.")
            return None
        job = RepairJob(next(self._numbers), uri, function, token)
        self._queue.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        else:
            ahead = len(jobs)
            what = f"`{function}`" if function else name_of(uri)
            self._client.message(f"Repair of {what} waits for {count(ahead, 'other')}.")
        return job

    def cancel(self, number: int | None = None) -> None:
        """Cancel one repair, or all."""
        for job in [*self._queue, *([self._current] if self._current else [])]:
            if number in (None, job.number):
                job.cancel()
        for job in [job for job in self._queue if job.cancelled.is_set()]:
            self._queue.remove(job)
            job.searched.set()

    def free_idle_model(self, seconds: float) -> None:
        """Free the model if no repair has run for that long."""
        if self._current is None:
            self._thread.submit(self._host.close_if_idle, seconds)

    def close(self) -> list[Future[None]]:
        """End all and free the model; what is to be waited for, for a moment."""
        self.cancel()
        ending = [aside(self._current.end)] if self._current is not None else []
        freed = self._thread.submit(self._host.close)
        self._thread.shutdown(wait=False)
        return [*ending, freed]

    async def _work(self) -> None:
        while self._queue:
            job = self._current = self._queue.pop(0)
            try:
                await self._one(job)
            except (DocumentError, UntrustedError) as error:
                _log.info("repair %d: refused: %s", job.number, error)
                self._client.warn(str(error))
                self._client.status(Status("idle", str(error)))
            except CoeError as error:
                _log.warning("repair %d: %s", job.number, error)
                self._client.warn(str(error))
                self._client.status(Status("failed", str(error)))
            except Exception as error:
                log_broken(_log, f"repair {job.number}", error)
                text = f"The repair broke ({type(error).__name__}: {error}); the log has more."
                self._client.warn(text)
                self._client.status(Status("failed", text))
            finally:
                self._current = None
                job.searched.set()

    async def _one(self, job: RepairJob) -> None:
        document = self._workspace.document(job.uri)
        settings = await self._workspace.settings(document)
        await self._trust.require(document.root, asked=True, isolated=settings.sandbox != "off")
        if job.cancelled.is_set():
            return
        document = self._workspace.document(job.uri)  # as it is after the question
        settings = await self._workspace.settings(document)
        unsaved = self._workspace.unsaved(document.root)
        name = job.function or document.path.name
        progress = await self._client.progress(
            f"Repair with CoE: {name}", job.cancel, "running the tests", token=job.token
        )
        watcher = RepairProgress(job, self._client, progress, settings.budget, self._queue)
        watcher.say("running the tests")
        _log.info("repair %d: started", job.number)
        ending = f"{name}: not repaired"
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, job, document, settings, unsaved, watcher
            )
            # Who cancels after the first repair has been found gets to see it.
            cancelled = job.cancelled.is_set() and outcome.status == "failed"
            if (outcome.chain or outcome.places) and not cancelled:
                self._outcomes[job.uri], self._last = outcome, job.uri
            status = "cancelled" if cancelled else outcome.status
            _log.info("repair %d: %s, %.1f s", job.number, status, outcome.seconds.total)
            ending = f"{name}: cancelled" if cancelled else outcome.message
        except asyncio.CancelledError:  # the client has gone
            aside(job.end)
            raise
        except CoeError:
            if not job.cancelled.is_set():
                raise
            _log.info("repair %d: cancelled", job.number)
            ending = f"{name}: cancelled"
            self._client.status(Status("idle", ending))
            return
        finally:
            watcher.stop()
            progress.end(ending)
            job.searched.set()
        if cancelled:
            self._client.status(Status("idle", ending))
        elif outcome.status == "repaired":
            self._client.status(Status("idle", outcome.message))
            await self._review.offer(job.number, settings, outcome)
        elif outcome.status == "already_passing":
            self._client.message(outcome.message)
            self._client.status(Status("idle", outcome.message))
        else:
            tried = count(outcome.attempts, "different program")
            text = f"{outcome.function or name}: {outcome.message} {tried} tested."
            self._client.warn(text)
            self._client.status(Status("failed", text))

    def _run(
        self,
        job: RepairJob,
        document: Document,
        settings: Settings,
        unsaved: Mapping[Path, SourceFile],
        watcher: RepairProgress,
    ) -> Outcome:
        """On the repair thread: what comes of it."""
        from coe_lsp.repair.policy.loading import check, head_start
        from coe_lsp.repair.policy.second import second_model
        from coe_lsp.repair.repair import Repair
        from coe_lsp.repair.way_in import way_of

        options = settings.model_options()
        check(options)
        way = way_of(document.path, job.function)
        request = settings.request(way, document.source, unsaved)
        if self._search is not None:
            request = evolve(request, search=self._search)

        @contextmanager
        def load() -> Generator[LoadedPolicy]:
            watcher.loading()
            with self._host.lease(options, watcher.ask, watcher) as policy:
                watcher.loaded()
                yield policy

        second = second_model(options)

        @contextmanager
        def load_second() -> Generator[LoadedPolicy]:
            assert second is not None
            watcher.loading()
            with self._host.lease_second(second) as policy:
                watcher.loaded()
                yield policy

        start = 0.0 if self._host.at_hand(options) else head_start(options)
        wanted = None if options.without_model else load
        job.repair = Repair(
            request,
            wanted,
            watcher,
            load_second=None if second is None else load_second,
            head_start=start,
            warm=self._warm,
        )
        if job.cancelled.is_set():
            job.repair.cancel()
        return job.repair.run()
