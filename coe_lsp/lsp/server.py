"""The server: which request of the protocol calls what. No logic of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import traceback
from pathlib import Path
from typing import Any, cast

from lsprotocol import types
from pygls import uris
from pygls.lsp.server import LanguageServer

from coe_lsp import __version__
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import is_test_file
from coe_lsp.lsp import actions, log
from coe_lsp.lsp.checks import Checked, Checks
from coe_lsp.lsp.client import Client
from coe_lsp.lsp.documents import function_at
from coe_lsp.lsp.findings import chain_text, diagnostics
from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.lsp.offers import Offers
from coe_lsp.lsp.repairs import Lease, Repairs
from coe_lsp.lsp.workspace import DocumentError, Workspace
from coe_lsp.repair.search import SearchSettings
from coe_lsp.repair.settings import Settings
from coe_lsp.repair.source import split_lines

_log = logging.getLogger(__name__)
_DEBOUNCE = 0.3
_IDLE_ROUND = 5.0
COMMANDS = (
    "coe.repair",
    "coe.repairFile",
    "coe.cancel",
    "coe.showChain",
    "coe.restartWorker",
    "coe.doctor",
    "coe.check",
)


class CoeServer(LanguageServer):
    """pygls's server with our parts."""

    def __init__(self, lease: Lease | None = None, search: SearchSettings | None = None) -> None:
        """`lease` replaces the model and `search` its settings, for tests of everything else."""
        # Whole documents: pygls cuts lines where Python does, which for parts would be wrong.
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "coe-lsp", __version__, types.TextDocumentSyncKind.Full
        )
        self.client = Client(self)
        self.documents = Workspace(self, self.client)
        self.checks = Checks(self.documents, self.client, self._checked)
        self.offers = Offers(self.documents, self.client, self._applied)
        host = ModelHost()
        self.repairs = Repairs(
            self.documents,
            self.client,
            self.offers,
            host,
            lease or host.lease,
            self._repaired,
            search or SearchSettings(),
        )
        self._idle: asyncio.Task[None] | None = None

    # -- life

    def initialized(self) -> None:
        """The client is ready."""
        self._idle = asyncio.get_running_loop().create_task(self._free_what_is_idle())

    def shutdown(self) -> None:
        """End everything that was started; pygls calls this last, however the client went."""
        self.repairs.close()
        with contextlib.suppress(RuntimeError):  # the loop may be closed, tasks with it
            self.checks.close()
        super().shutdown()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log where it broke; not the message, which may hold source code."""
        frames = traceback.format_tb(error.__traceback__)
        _log.error("%s: %s\n%s", source.__name__, type(error).__name__, "".join(frames[-3:]))

    async def _free_what_is_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_ROUND)
            minutes = Settings().idle_minutes
            for uri in self.documents.opened():
                with contextlib.suppress(CoeError):
                    settings = await self.documents.settings(self.documents.document(uri))
                    minutes = settings.idle_minutes
                    break
            self.repairs.free_idle_model(60 * minutes)
            self.checks.close_if_idle(60 * minutes)

    # -- what the parts tell

    def _checked(self, uri: str, checked: Checked | None) -> None:
        found: list[types.Diagnostic] = []
        version = None
        if checked is not None:
            document = checked.document
            version = document.version
            found = diagnostics(checked.found, checked.source.lines, document.root, document.units)
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=version)
        )
        workspace = self.client_capabilities.workspace
        lens = workspace.code_lens if workspace else None
        if lens is not None and lens.refresh_support:
            self.workspace_code_lens_refresh(None)

    def _applied(self, uri: str) -> None:
        # The change itself arrives as a notification of its own.
        self.checks.schedule(uri, _DEBOUNCE)

    def _repaired(self, uri: str) -> None:
        _log.info("done with %s", uri.rpartition("/")[2])

    # -- commands

    async def execute(self, name: str, arguments: list[Any]) -> Any:
        """Run one of `COMMANDS`."""
        given = (
            cast("dict[str, Any]", arguments[0])
            if arguments and isinstance(arguments[0], dict)
            else {}
        )
        uri = given.get("uri")
        if name in ("coe.repair", "coe.repairFile", "coe.check") and not isinstance(uri, str):
            self.client.warn("Open a Python file first.")
            return None
        if name == "coe.repair":
            return self._repair(cast(str, uri), self._named(cast(str, uri), given))
        if name == "coe.repairFile":
            return self._repair(cast(str, uri), None)
        if name == "coe.check":
            self.checks.schedule(cast(str, uri))
        elif name == "coe.cancel":
            number = given.get("repair")
            self.repairs.cancel(number if isinstance(number, int) else None)
        elif name == "coe.restartWorker":
            self.checks.restart_workers()
        elif name == "coe.showChain":
            return await self._show_chain(uri)
        elif name == "coe.doctor":
            return await self._doctor(uri)
        return None

    def _named(self, uri: str, given: dict[str, Any]) -> str | None:
        function = given.get("function")
        if isinstance(function, str):
            return function
        position = given.get("position")
        row = cast("dict[str, Any]", position).get("line") if isinstance(position, dict) else None
        if not isinstance(row, int) or not self.documents.is_open(uri):
            return None
        return function_at(self.lines(uri), row)

    def _repair(self, uri: str, function: str | None) -> dict[str, int] | None:
        number = self.repairs.request(uri, function)
        return None if number is None else {"repair": number}

    async def _show_chain(self, uri: str | None) -> dict[str, str] | None:
        outcome = self.repairs.outcome(uri)
        if outcome is None:
            self.client.message("There has been no repair yet.")
            return None
        return await self._show("Chain of edits", chain_text(outcome))

    async def _doctor(self, uri: str | None) -> dict[str, str] | None:
        from coe_lsp.repair.doctor import examine, heading

        root, settings = Path.cwd(), Settings()
        with contextlib.suppress(DocumentError):
            document = self.documents.document(uri or next(iter(self.documents.opened()), ""))
            root, settings = document.root, await self.documents.settings(document)
        checks = await asyncio.get_running_loop().run_in_executor(
            None, lambda: list(examine(root, settings.python, settings.model))
        )
        lines = [f"- {'ok' if c.good else '**fail**'} {c.name}: {c.text}" for c in checks]
        text = f"# coe-lsp\n\n{heading()}\n\n" + "\n".join(lines)
        return await self._show("coe-lsp doctor", f"{text}\n\nLog: {log.log_file() or 'none'}\n")

    async def _show(self, title: str, text: str) -> dict[str, str]:
        """Return a text to a plugin of ours; have any other client open it as a file."""
        if not self.client.shows_texts:
            name = title.lower().replace(" ", "-") + ".md"
            path = Path(tempfile.mkdtemp(prefix="coe-lsp-")) / name
            path.write_text(text, encoding="utf-8")
            window = self.client_capabilities.window
            if window and window.show_document and window.show_document.support:
                await self.window_show_document_async(types.ShowDocumentParams(uri=path.as_uri()))
            else:
                self.client.message(f"{title}: {path}")
        return {"title": title, "text": text}

    # -- helpers

    def lines(self, uri: str) -> tuple[str, ...]:
        """An open document's lines."""
        return split_lines(self.workspace.get_text_document(uri).source)

    async def settings_of(self, uri: str) -> Settings | None:
        """The settings of a document, None if nothing can be done with it."""
        try:
            return await self.documents.settings(self.documents.document(uri))
        except CoeError:
            return None


def make_server(lease: Lease | None = None, search: SearchSettings | None = None) -> CoeServer:
    """A server with all its handlers; it reads and writes nothing before it is started."""
    server = CoeServer(lease, search)
    _register_life(server)
    _register_documents(server)
    _register_language(server)
    for name in COMMANDS:
        _register_command(server, name)
    return server


def _register_life(server: CoeServer) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        info = params.client_info
        server.client.name = info.name if info else ""
        server.documents.initialize(params.initialization_options)
        log.start_logging(server)

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        _log.info("coe-lsp %s serves %s", __version__, server.client.name or "a client")
        server.initialized()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(params: types.DidChangeConfigurationParams) -> None:
        server.documents.forget_settings()
        for uri in server.documents.opened():
            settings = await server.settings_of(uri)
            if settings is not None:
                log.set_level(settings.log_level)


def _register_documents(server: CoeServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        uri = params.text_document.uri
        settings = await server.settings_of(uri)
        if settings is None:
            return
        log.set_level(settings.log_level)
        if settings.run == "onSave" and params.text_document.language_id == "python":
            server.checks.schedule(uri, _DEBOUNCE)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: types.DidSaveTextDocumentParams) -> None:
        uri = params.text_document.uri
        path = Path(uris.to_fs_path(uri) or "")
        if path.name == "pyproject.toml":
            server.documents.forget_settings()
            return
        settings = await server.settings_of(uri)
        if settings is None or settings.run != "onSave" or path.suffix != ".py":
            return
        if is_test_file(path):
            server.checks.schedule_dependents(path, _DEBOUNCE)
        else:
            server.checks.schedule(uri, _DEBOUNCE)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.checks.forget(params.text_document.uri)


def _register_language(server: CoeServer) -> None:
    options = types.CodeActionOptions(
        [types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite]
    )

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        if not server.documents.is_open(uri):
            return []
        return actions.code_actions(
            params,
            server.checks.known(uri),
            server.lines(uri),
            server.workspace.get_text_document(uri).version,
            tag=server.client.tags_actions,
        )

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions())
    def code_lens(params: types.CodeLensParams) -> list[types.CodeLens]:
        uri = params.text_document.uri
        checked = server.checks.known(uri)
        if checked is None or not server.documents.is_open(uri):
            return []
        return actions.code_lenses(uri, checked, server.lines(uri))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        checked = server.checks.known(uri)
        if checked is None or not server.documents.is_open(uri):
            return None
        return actions.hover(
            params.position.line, checked, server.lines(uri), server.repairs.outcome(uri)
        )


def _register_command(server: CoeServer, name: str) -> None:
    async def run(*arguments: Any) -> Any:
        return await server.execute(name, list(arguments))

    server.protocol.fm.command(name)(run)  # pyright: ignore[reportUnknownMemberType]
