"""The server: its parts, what they tell each other, and its life from first message to last."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

import attrs
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.io_ import StdoutWriter
from pygls.lsp.server import LanguageServer

from coe_lsp import __version__
from coe_lsp.errors import CoeError
from coe_lsp.lsp import log
from coe_lsp.lsp.aside import aside
from coe_lsp.lsp.checks import Checks
from coe_lsp.lsp.client import Client
from coe_lsp.lsp.ending import leave, leave_at_last
from coe_lsp.lsp.framing import FramingError, read_frame
from coe_lsp.lsp.marks import moved
from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.lsp.patch_review import PatchReview
from coe_lsp.lsp.protocol import Protocol
from coe_lsp.lsp.repair_job import RepairJob
from coe_lsp.lsp.repairs import Repairs
from coe_lsp.lsp.trust import Trust
from coe_lsp.lsp.watched_files import WATCHERS, WatchedFiles
from coe_lsp.lsp.workspace import Workspace
from coe_lsp.repair.target.source import split_lines
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings

if TYPE_CHECKING:
    from coe_lsp.repair.search.settings import SearchSettings

_log = logging.getLogger(__name__)
DEBOUNCE = 0.3
_IDLE_ROUND = 5.0
# Seconds that tests, model and processes get to end in order.
_ORDERLY = 1.5
_BAD_FRAME = 2
# Files whose test processes wait for the next check or repair.
_WARM_RUNNERS = 2
# What the first check and the first repair need, and the answer to `initialize` does not.
_NEEDED_SOON = ("coe_lsp.lsp.check", "coe_lsp.repair.policy.loading", "coe_lsp.repair.repair")
# Settings that make no difference to what the tests say.
_OTHER_SETTINGS = frozenset(
    {"model", "adapter", "budget", "samples", "apply", "idle_minutes", "log_level"}
)


class CoeServer(LanguageServer):
    """pygls's server with our parts."""

    def __init__(self, host: ModelHost | None = None, search: SearchSettings | None = None) -> None:
        """`host` replaces the model, `search` the search's settings: for tests of the rest."""
        # Whole documents: pygls cuts lines where Python does, which for parts would be wrong.
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "coe-lsp", __version__, types.TextDocumentSyncKind.Full, protocol_cls=Protocol
        )
        self._wire = cast(Protocol, self.protocol)
        self._wire.ended = self.end
        self.client = Client(self)
        self.trust = Trust(self.client, self._trusted)
        self.documents = Workspace(self, self.client, self.trust.holds)
        warm = WarmRunners(_WARM_RUNNERS)
        self.checks = Checks(self.documents, self.client, self.trust, warm, self._found)
        self.watched = WatchedFiles(self.documents, self.checks)
        review = PatchReview(self.documents, self.client, warm, self._applied)
        self.repairs = Repairs(
            self.documents,
            self.client,
            self.trust,
            review,
            host or ModelHost(),
            warm,
            search,
        )
        self._marks: dict[str, list[types.Diagnostic]] = {}
        self._idle: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[int] | None = None
        self._stopping: list[Future[None]] | None = None

    # -- life

    def serve(self, reader: BinaryIO, writer: BinaryIO) -> NoReturn:
        """Serve one client, and leave the process when it is done."""
        log.start_logging()
        self._wire.set_writer(StdoutWriter(writer))
        asyncio.run(self._serve(reader))
        raise AssertionError("the process has left")

    async def _serve(self, reader: BinaryIO) -> NoReturn:
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        for name in ("SIGTERM", "SIGHUP", "SIGINT"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: self.end(128 + number))
        threading.Thread(target=self._read, args=(reader,), name="coe-read", daemon=True).start()
        status = await self._ended
        self.stop()
        waiting = [asyncio.wrap_future(future) for future in self._stopping or ()]
        if waiting:
            await asyncio.wait(waiting, timeout=_ORDERLY)
        _log.info("ends with status %d", status)
        leave(status)

    def _read(self, reader: BinaryIO) -> None:
        """On a thread of its own: one message after the other, until there is no more."""
        assert self._loop is not None
        status = 1
        try:
            while (body := read_frame(reader)) is not None:
                asyncio.run_coroutine_threadsafe(self._receive(body), self._loop).result()
        except FramingError as error:
            text = f"The editor's messages cannot be read: {error}. The server ends."
            _log.error("%s", text)
            print(f"coe-lsp: {text}", file=sys.stderr, flush=True)
            status = _BAD_FRAME
        except (OSError, ValueError):
            _log.info("the editor's messages cannot be read any more: the stream is closed")
        else:
            status = 0 if self._wire.has_shut_down else 1
        finally:
            self.end(status)

    async def _receive(self, body: bytes) -> None:
        try:
            self._wire.receive(body)
        except Exception as error:
            self.report_server_error(error, JsonRpcException)

    def initialized(self) -> None:
        """The client is ready."""
        aside(lambda: [importlib.import_module(name) for name in _NEEDED_SOON])
        self._idle = asyncio.get_running_loop().create_task(self._free_what_is_idle())

    async def register(self) -> None:
        """Have the client tell us of changed files and settings, if it does so when asked."""
        workspace = self.client_capabilities.workspace
        files = workspace.did_change_watched_files if workspace else None
        settings = workspace.did_change_configuration if workspace else None
        wanted: list[types.Registration] = []
        if files is not None and files.dynamic_registration:
            name = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
            wanted.append(types.Registration("coe-files", name, WATCHERS))
        if settings is not None and settings.dynamic_registration:
            name = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            options = types.DidChangeConfigurationRegistrationOptions(section="coe")
            wanted.append(types.Registration("coe-settings", name, options))
        if wanted:
            try:
                await self.client_register_capability_async(types.RegistrationParams(wanted))
            except JsonRpcException as error:
                _log.warning("the editor does not report changes: %s", error)

    def stop(self) -> None:
        """Cancel all that runs."""
        if self._idle is not None:
            self._idle.cancel()
        if self._stopping is None:
            self._stopping = [*self.repairs.close(), *self.checks.close()]

    def end(self, status: int) -> None:
        """End the process, from any thread and also from a signal."""
        assert self._loop is not None
        leave_at_last(status)  # the loop may be waiting for an editor that does not read
        self._loop.call_soon_threadsafe(self._end, status)

    def _end(self, status: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(status)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log where it broke."""
        log.log_broken(_log, source.__name__, error)

    async def _free_what_is_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_ROUND)
            minutes = Settings().idle_minutes
            for document in self.documents.documents():
                minutes = (await self.documents.settings(document)).idle_minutes
                break
            self.repairs.free_idle_model(60 * minutes)
            self.checks.close_if_idle(60 * minutes)

    # -- what the parts tell

    def _found(self, uri: str) -> None:
        """Something else is known of a document."""
        self.publish(uri)
        workspace = self.client_capabilities.workspace
        lens = workspace.code_lens if workspace else None
        if lens is not None and lens.refresh_support:
            self.workspace_code_lens_refresh(None)

    def publish(self, uri: str) -> None:
        """Show the marks of a document where they belong in its present text."""
        if self.client.pulls_marks:
            self.workspace_diagnostic_refresh(None)
            return
        found, version = self._placed(uri)
        self._marks[uri] = found
        if not self.documents.is_open(uri):
            del self._marks[uri]
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=version)
        )

    def text_changed(self, uri: str) -> None:
        """The user typed; marks go along."""
        self.checks.text_changed(uri)
        if uri in self._marks and self._placed(uri)[0] != self._marks[uri]:
            self.publish(uri)

    def marks(self, uri: str) -> list[types.Diagnostic]:
        """The marks of a document where they belong in its present text."""
        return self._placed(uri)[0]

    def _placed(self, uri: str) -> tuple[list[types.Diagnostic], int | None]:
        result = self.checks.known(uri)
        if result is None or not self.documents.is_open(uri):
            return [], None
        document = self.workspace.get_text_document(uri)
        lines = split_lines(document.source.removeprefix("\ufeff"))
        units = result.document.units
        return moved(result.marks, result.source.lines, lines, units), document.version

    def _applied(self, uri: str) -> None:
        # The change itself arrives as a notification of its own.
        self.checks.repaired(uri, DEBOUNCE)

    def _trusted(self, root: Path) -> None:
        self.checks.schedule_all(root, DEBOUNCE)

    async def until_searched(self, job: RepairJob) -> None:
        """Wait for the end of a search, which the client may cancel as the request that it is."""
        request = self._wire.msg_id
        if request is not None:
            self._wire.on_cancel[request] = job.cancel
        try:
            await job.searched.wait()
        finally:
            self._wire.on_cancel.pop(request or "", None)

    def folders_changed(self) -> None:
        """Documents may be inside of the workspace now, or outside."""
        for uri in self.documents.opened():
            self.checks.schedule(uri, DEBOUNCE, unless_known=True)

    # -- settings

    async def settings_changed(self) -> None:
        """Read them again, and check again where that makes a difference."""
        documents = list(self.documents.documents())
        before = {one.root: self.documents.known_settings(one.root) for one in documents}
        self.documents.forget_settings()
        for document in documents:
            settings = await self.documents.settings(document)
            log.set_level(settings.log_level)
            old = before[document.root]
            if old is not None and _for_tests(old) != _for_tests(settings):
                self.checks.outdated(document.uri)

    async def settings_of(self, uri: str) -> Settings | None:
        """The settings of a document, None if nothing can be done with it."""
        with contextlib.suppress(CoeError):
            return await self.documents.settings(self.documents.document(uri))
        return None

    def lines(self, uri: str) -> tuple[str, ...]:
        """An open document's lines."""
        return split_lines(self.documents.text(uri))


def _for_tests(settings: Settings) -> dict[str, Any]:
    return attrs.asdict(settings, filter=lambda field, _: field.name not in _OTHER_SETTINGS)
