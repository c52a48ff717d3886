"""When which document's tests run, and what is known of each document.

A newer check of a document cancels an older one. Verdicts are remembered by text, so that what is
undone is marked right at once. Publishes nothing itself: `changed` is called with what is new.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import evolve
from pygls import uris

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import NoTestsError, is_for_tests
from coe_lsp.lsp.aside import aside
from coe_lsp.lsp.client import Client, Status
from coe_lsp.lsp.log import log_broken
from coe_lsp.lsp.trust import Trust, UntrustedError
from coe_lsp.lsp.turns import Turns
from coe_lsp.lsp.verdicts import Verdicts
from coe_lsp.lsp.workspace import Document, DocumentError, Workspace, name_of
from coe_lsp.repair.target.source import SourceError
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings

if TYPE_CHECKING:
    from coe_lsp.lsp.check import CancellableRun, CheckResult

_log = logging.getLogger(__name__)
# More than run at once: one that was cancelled keeps its thread until what it waits for has ended.
_THREADS = 8
# Seconds without a change after which a text is tested that was not saved.
_TYPING = 1.0
# Seconds after which tests that still run are told of.
_SLOW = 1.5
# Seconds in which an editor has read a file again that was written on the disk.
_REREAD = 1.0

T = TypeVar("T")
Why = Literal["happened", "repaired", "asked"]


class Checks:
    """Runs of tests, at most one at a time for a document."""

    def __init__(
        self,
        workspace: Workspace,
        client: Client,
        trust: Trust,
        warm: WarmRunners,
        changed: Callable[[str], None],
    ) -> None:
        """`changed` gets a document's address when something else is known of it."""
        self._workspace = workspace
        self._client = client
        self._trust = trust
        self._changed = changed
        self._pool = ThreadPoolExecutor(_THREADS, "coe-checks")
        self._turns = Turns()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[Future[Any], CancellableRun[Any]] = {}
        self._known: dict[str, CheckResult] = {}
        self._refused: dict[str, str] = {}
        self._verdicts = Verdicts()
        #: Documents that hold an accepted repair and were not saved since.
        self._unsaved: set[str] = set()
        self._warm = warm

    # -- what is known

    def known(self, uri: str) -> CheckResult | None:
        """What the last check of a document said, perhaps of another text than it has now."""
        return self._known.get(uri)

    def refused(self, uri: str) -> str:
        """Why the tests of a document could not be run, if that was so the last time."""
        return self._refused.get(uri, "")

    # -- what happens

    def attend(self, uri: str) -> None:
        """The user is in this document now: it goes first."""
        self._turns.attend(uri)

    def schedule(
        self, uri: str, delay: float = 0.0, why: Why = "happened", *, unless_known: bool = False
    ) -> None:
        """Check after `delay` seconds, in place of what is under way for the document.

        If it just `happened`, the settings may be against it; who `asked` gets an answer. With
        `unless_known` a text that has a verdict is not tested again.
        """
        if (old := self._tasks.get(uri)) is not None:
            old.cancel()
        task = asyncio.get_running_loop().create_task(self._check(uri, delay, why, unless_known))
        self._tasks[uri] = task
        task.add_done_callback(
            lambda done: self._tasks.pop(uri) if self._tasks.get(uri) is done else None
        )

    def schedule_all(self, root: Path, delay: float) -> None:
        """Check what is open of a project, unless that is under way."""
        for document in self._workspace.documents():
            if document.root == root and document.uri not in self._tasks:
                self.schedule(document.uri, delay)

    def text_changed(self, uri: str) -> None:
        """The user typed, or took something back."""
        self.attend(uri)
        repaired = uri in self._unsaved
        if repaired:
            self._schedule_tests(uri, _TYPING)
        if not self._take_known(uri) and repaired:
            self.schedule(uri, _TYPING, "repaired", unless_known=True)

    def repaired(self, uri: str, delay: float) -> None:
        """A repair was put into the document: until it is saved, its texts are tested as well."""
        self._unsaved.add(uri)
        self.schedule(uri, delay, "repaired")
        self._schedule_tests(uri, delay)

    def _schedule_tests(self, uri: str, delay: float) -> None:
        """Check the open files of tests of the document's project: they see what is not saved."""
        path = Path(uris.to_fs_path(uri) or "")
        for document in self._workspace.documents():
            tests = is_for_tests(document.path, document.root)
            if tests and path.is_relative_to(document.root) and document.uri != uri:
                self._verdicts.forget(document.uri)
                self.schedule(document.uri, delay, "repaired")

    def saved(self, uri: str, delay: float) -> None:
        """The document was saved."""
        self.attend(uri)
        self._unsaved.discard(uri)
        self.schedule(uri, delay)

    def outdated(self, uri: str) -> None:
        """Something that the tests of a document depend on has changed."""
        self._verdicts.forget(uri)
        self.schedule(uri)

    def reread(self, uri: str) -> None:
        """The document was written on the disk by others, and the editor takes that over."""
        self.schedule(uri, _REREAD, unless_known=True)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        if (task := self._tasks.pop(uri, None)) is not None:
            task.cancel()
            self._client.status(Status("idle", f"{name_of(uri)} was closed", uri=uri))
        self._turns.forget(uri)
        self._unsaved.discard(uri)
        self._verdicts.forget(uri)
        self._refused.pop(uri, None)
        self._forget_result(uri)
        # What was not saved of it is gone.
        for other, known in list(self._known.items()):
            if known.with_unsaved and self._workspace.is_open(other):
                self.schedule(other, _REREAD)

    # -- processes

    def restart_workers(self, but: Collection[Path] = ()) -> None:
        """End the test processes that wait, but for those of some files.

        Those at work end with their check.
        """
        self._warm.close(but=but)

    def close_if_idle(self, seconds: float) -> None:
        """End test processes that nobody has used for that long."""
        self._warm.close(idle=seconds)

    def close(self) -> list[Future[None]]:
        """Cancel all and end the test processes; what is to be waited for, for a moment."""
        for task in self._tasks.values():
            task.cancel()
        ending = [aside(check.cancel) for check in list(self._running.values())]
        self._pool.shutdown(wait=False, cancel_futures=True)
        return [*ending, aside(self._end)]

    def _end(self) -> None:
        self._warm.end()
        for future in list(self._running):
            with contextlib.suppress(BaseException):
                future.result()

    # -- a check

    async def _check(self, uri: str, delay: float, why: Why, unless_known: bool) -> None:
        await asyncio.sleep(delay)
        if unless_known and self._take_known(uri):
            return
        try:
            checked = await self._checked(uri, why)
        except (DocumentError, NoTestsError, SourceError, UntrustedError) as error:
            _log.info("not checked: %s", error)
            self._failed(uri, Status("idle", str(error), uri=uri))
            if isinstance(error, DocumentError):  # who asks again is told of the document as it is
                self._refused.pop(uri, None)
            if why == "asked":
                self._client.message(str(error))
        except CoeError as error:
            _log.warning("check failed: %s", error)
            self._failed(uri, Status("failed", str(error), uri=uri))
            self._warn(str(error), why)
        except Exception as error:
            log_broken(_log, f"the check of {name_of(uri)}", error)
            text = f"The check of {name_of(uri)} broke ({type(error).__name__}); the log has more."
            self._failed(uri, Status("failed", text, uri=uri))
            self._warn(text, why)
        else:
            if checked is not None:
                self._finished(checked, why)
                await self._look(checked)

    async def _checked(self, uri: str, why: Why) -> CheckResult | None:
        """Run the tests, once it is the document's turn."""
        from coe_lsp.lsp.check import Check

        while True:
            document = self._workspace.document(uri)
            settings = await self._workspace.settings(document)
            if why == "happened" and settings.run != "onSave":
                return self._against(uri, settings)
            await self._trust.require(
                document.root, asked=why == "asked", isolated=settings.sandbox != "off"
            )
            turn = await self._turns.take(uri)
            try:
                document = self._workspace.document(uri)  # as it is after the waiting
                settings = await self._workspace.settings(document)  # with the project's own
                if why == "happened" and settings.run != "onSave":
                    return self._against(uri, settings)
                overlaid = self._sees_unsaved(document)
                unsaved = self._workspace.unsaved(document.root) if overlaid else {}
                check = Check(document, settings, self._warm, unsaved)
                turn.interrupt = lambda check=check: aside(check.cancel)
                if turn.lost:
                    continue
                self._client.status(Status("testing", f"testing {document.path.name}", uri=uri))
                async with self._told_if_slow(document.path.name, check):
                    checked = await self._run(check)
                if checked is None and not turn.lost:
                    stopped = f"{document.path.name}: the tests were stopped"
                    self._client.status(Status("idle", stopped, uri=uri))
            finally:
                self._turns.give_back(turn)
            if not turn.lost:
                return checked

    def _sees_unsaved(self, document: Document) -> bool:
        """Whether a check takes what is not saved of other files for what the disk has.

        Tests do. Else only a repair that is not saved yet counts, which may be of several files.
        """
        return is_for_tests(document.path, document.root) or any(
            other.root == document.root and other.uri in self._unsaved
            for other in self._workspace.documents()
        )

    async def _look(self, checked: CheckResult) -> None:
        """See where the red tests of a file of tests point; their marks need not wait for it."""
        from coe_lsp.lsp.check import Look

        document, uri = checked.document, checked.document.uri
        if not checked.found or not is_for_tests(document.path, document.root):
            return
        turn = await self._turns.take(uri)
        try:
            settings = await self._workspace.settings(document)
            look = Look(checked, settings, self._warm, self._workspace.unsaved(document.root))
            turn.interrupt = lambda: aside(look.cancel)
            places = None if turn.lost else await self._run(look)
        except CoeError as error:
            _log.info("where the tests of %s point is not known: %s", name_of(uri), error)
            return
        except Exception as error:
            log_broken(_log, f"the look at what failed in {name_of(uri)}", error)
            return
        finally:
            self._turns.give_back(turn)
        if not places or self._known.get(uri) is not checked:
            return
        self._known[uri] = seen = evolve(checked, places=places)
        if not seen.with_unsaved:
            self._verdicts.remember(seen)

    def _against(self, uri: str, settings: Settings) -> None:
        """The settings do not want it; what is known stays unless nothing is to be shown."""
        if settings.run == "off":
            self._forget_result(uri)

    async def _run(self, check: CancellableRun[T]) -> T | None:
        future = self._pool.submit(check)
        self._running[future] = check
        future.add_done_callback(lambda done: self._running.pop(done, None))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            aside(check.cancel)
            raise

    @contextlib.asynccontextmanager
    async def _told_if_slow(self, name: str, check: CancellableRun[Any]) -> AsyncGenerator[None]:
        """A progress report for tests that take a while, with a button that stops them."""

        async def tell() -> None:
            await asyncio.sleep(_SLOW)
            progress = await self._client.progress(
                f"Tests of {name}", lambda: aside(check.cancel), counted=False
            )
            began = time.monotonic() - _SLOW
            try:
                while True:
                    progress.report(f"running for {time.monotonic() - began:.0f} s")
                    await asyncio.sleep(1.0)
            finally:
                progress.end("")

        telling = asyncio.get_running_loop().create_task(tell())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait([telling])  # its report ends before it is said what came of it

    def _finished(self, checked: CheckResult, why: Why) -> None:
        uri = checked.document.uri
        if not self._workspace.is_open(uri):
            return
        _log.info("%s", checked.summary)
        if checked.left_out:
            self._warn(checked.left_out, why)
        if checked.with_unsaved:
            self._verdicts.forget(uri)
        else:
            self._verdicts.remember(checked)
        if not self._take_known(uri):
            self._show(checked)  # of an older text, but there is nothing better
        if why == "asked" and not self._client.shows_status:
            self._client.message(checked.summary)

    def _take_known(self, uri: str) -> bool:
        """If the document's text has been tested before, that is what holds."""
        if not self._workspace.is_open(uri):
            return False
        verdict = self._verdicts.of(uri, self._workspace.text(uri))
        if verdict is None:
            return False
        if verdict is not self._known.get(uri):
            self._show(verdict)
        return True

    def _show(self, checked: CheckResult) -> None:
        self._known[checked.document.uri] = checked
        self._refused.pop(checked.document.uri, None)
        self._changed(checked.document.uri)
        self._client.status(
            Status(
                "idle",
                checked.summary,
                uri=checked.document.uri,
                failing=checked.failed,
                passed=checked.passed,
            )
        )

    def _warn(self, text: str, why: Why) -> None:
        if why == "asked":
            self._client.warn(text)
        else:
            self._workspace.warn_once(text)

    def _failed(self, uri: str, status: Status) -> None:
        self._forget_result(uri)
        self._refused[uri] = status.message
        self._client.status(status)

    def _forget_result(self, uri: str) -> None:
        if self._known.pop(uri, None) is not None:
            self._changed(uri)
