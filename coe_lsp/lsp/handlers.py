"""Which message of the protocol calls what. No logic of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls import uris

from coe_lsp import __version__
from coe_lsp.execution.discovery import is_for_tests
from coe_lsp.lsp import actions, log
from coe_lsp.lsp.commands import COMMANDS, execute
from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.lsp.server import DEBOUNCE, CoeServer
from coe_lsp.lsp.workspace import DocumentError

if TYPE_CHECKING:
    from coe_lsp.repair.search.settings import SearchSettings

_log = logging.getLogger(__name__)


def make_server(host: ModelHost | None = None, search: SearchSettings | None = None) -> CoeServer:
    """A server with all its handlers; it reads and writes nothing before it is started."""
    server = CoeServer(host, search)
    _register_life(server)
    _register_documents(server)
    _register_files(server)
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
        log.show_in_editor(server)
        if server.client.pulls_marks:
            _register_marks(server)

    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        _log.info("coe-lsp %s serves %s", __version__, server.client.name or "a client")
        server.initialized()
        await server.register()

    @server.feature(types.SHUTDOWN)
    def shutdown(*_: object) -> None:
        server.stop()


def _register_documents(server: CoeServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        uri = params.text_document.uri
        server.checks.attend(uri)
        if params.text_document.language_id == "python":
            server.checks.schedule(uri, DEBOUNCE)
        settings = await server.settings_of(uri)
        if settings is not None:
            log.set_level(settings.log_level)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        server.text_changed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        uri = params.text_document.uri
        path = Path(uris.to_fs_path(uri) or "")
        if path.suffix == ".py":
            server.checks.saved(uri, DEBOUNCE)
        server.watched.saved(path)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.checks.forget(params.text_document.uri)


def _register_marks(server: CoeServer) -> None:
    options = types.DiagnosticOptions(
        identifier="coe", inter_file_dependencies=True, workspace_diagnostics=False
    )

    @server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, options)
    def marks(params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        return types.RelatedFullDocumentDiagnosticReport(server.marks(params.text_document.uri))


def _register_files(server: CoeServer) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def settings_changed(params: types.DidChangeConfigurationParams) -> None:
        await server.settings_changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        paths = (uris.to_fs_path(change.uri) for change in params.changes)
        server.watched.changed(Path(path) for path in paths if path)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        server.folders_changed()


def _register_language(server: CoeServer) -> None:
    options = types.CodeActionOptions(
        [types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite]
    )

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        if not server.documents.is_open(uri):
            return []
        lines = server.lines(uri)
        try:
            document = server.documents.document(uri)
        except DocumentError as error:
            known = actions.Known(lines, refused=str(error))
        else:
            server.checks.attend(uri)
            settings = server.documents.known_settings(document.root)
            known = actions.Known(
                lines,
                server.checks.known(uri),
                document.text,
                is_for_tests(document.path, document.root),
                server.checks.refused(uri),
                settings is None or settings.run == "onSave",
            )
        return actions.code_actions(
            params,
            known,
            tag=server.client.tags_actions,
            disabled=server.client.disables_actions,
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
        row = params.position.line
        rows = {mark.range.start.line for mark in server.marks(uri)}
        return actions.hover(
            row,
            checked,
            server.lines(uri),
            server.repairs.outcome(uri),
            as_markdown=server.client.reads_markdown,
            marked=row in rows and server.client.hovers_over_marks,
        )


def _register_command(server: CoeServer, name: str) -> None:
    async def run(arguments: Sequence[Any], token: types.ProgressToken | None) -> Any:
        return await execute(server, name, arguments, token)

    server.protocol.fm.command(name)(run)  # pyright: ignore[reportUnknownMemberType]
