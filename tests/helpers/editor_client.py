"""A client that drives the real server process as an editor would."""

import asyncio
import time
from pathlib import Path

from lsprotocol import types
from pygls import uris
from pygls.protocol import default_converter
from pytest_lsp import client_capabilities
from pytest_lsp.client import LanguageClient


class Editor:
    """One client with one server, and everything that came from it in order."""

    def __init__(self, command):
        self.lsp = LanguageClient(converter_factory=_converter)
        self._command = command
        self.log = []
        #: Of progress reports, by their tokens: those of repairs are in the log as "progress".
        self.titles = {}
        #: How the user answers: a preview gets an index or None, a question a button or None.
        self.accept = 0
        self.button = None
        #: The answer to whether a folder is trusted; a future is waited for.
        self.trust = "Trust this folder"
        self.apply_edits = True
        self.before_preview = None
        self.configuration = {}
        self.texts = {}
        self.versions = {}
        self.root = None
        self._listen()

    def _listen(self):
        lsp = self.lsp

        def keep(name):
            def handler(params):
                self.log.append((name, params))

            return handler

        lsp.feature("window/showMessage")(keep("message"))
        lsp.feature("window/logMessage")(keep("log"))
        lsp.feature("coe/status")(keep("status"))
        lsp.feature("textDocument/publishDiagnostics")(keep("diagnostics"))
        lsp.feature("window/workDoneProgress/create")(keep("create"))
        lsp.feature("workspace/codeLens/refresh")(keep("refresh"))

        @lsp.feature("$/progress")
        def progress(params):
            if params.value["kind"] == "begin":
                self.titles[params.token] = params.value["title"]
            of_repair = self.titles[params.token].startswith("Repair with CoE")
            self.log.append(("progress" if of_repair else "work", params))

        @lsp.feature("workspace/diagnostic/refresh")
        def refresh_marks(params):
            self.log.append(("refresh marks", params))

        @lsp.feature("window/showDocument")
        def show(params):
            self.log.append(("show", params))
            return types.ShowDocumentResult(success=True)

        @lsp.feature("window/showMessageRequest")
        async def ask(params):
            if [action.title for action in params.actions] == ["Trust this folder", "Not now"]:
                self.log.append(("trust", params))
                answer = await self.trust if isinstance(self.trust, asyncio.Future) else self.trust
                return types.MessageActionItem(answer) if answer else None
            self.log.append(("question", params))
            if isinstance(self.button, asyncio.Future):
                await self.button
            return types.MessageActionItem(self.button) if self.button else None

        @lsp.feature("client/registerCapability")
        def register(params):
            self.log.append(("register", params))

        @lsp.feature("coe/preview")
        async def preview(params):
            self.log.append(("preview", params))
            if self.before_preview is not None:
                await self.before_preview()
            return {"accept": self.accept}

        @lsp.feature("workspace/configuration")
        def configuration(params):
            return [self.configuration for _ in params.items]

        @lsp.feature("workspace/applyEdit")
        def apply(params):
            self.log.append(("apply", params))
            if not self.apply_edits:
                return types.ApplyWorkspaceEditResult(applied=False, failure_reason="because")
            for uri, version, edits in _edits(params.edit):
                if uri not in self.texts:  # as editors do
                    self.open(Path(uris.to_fs_path(uri)))
                if version is not None and version != self.versions[uri]:
                    return types.ApplyWorkspaceEditResult(applied=False, failure_reason="newer")
                self.change(uri, _applied(self.texts[uri], edits))
            return types.ApplyWorkspaceEditResult(applied=True)

    async def start(
        self,
        root,
        name="visual-studio-code",
        ours=True,
        options=None,
        tweak=None,
        folder=True,
        guards=False,
    ):
        """`folder` False: files are opened by themselves. `guards`: the editor asks about trust."""
        self.root = root
        await self.lsp.start_io(*map(str, self._command))
        capabilities = client_capabilities(name)
        can = ["preview", "status", "chain", *(["workspaceTrust"] if guards else [])]
        capabilities.experimental = {"coe": dict.fromkeys(can, True)} if ours else None
        if tweak is not None:
            tweak(capabilities)
        self.lsp.capabilities = capabilities  # what comes is checked against them
        info = {"visual-studio-code": "Visual Studio Code", "neovim": "Neovim"}[name]
        result = await self.lsp.initialize_async(
            types.InitializeParams(
                capabilities=capabilities,
                client_info=types.ClientInfo(info, "1"),
                root_uri=root.as_uri() if folder else None,
                initialization_options=options,
            )
        )
        self.lsp.initialized(types.InitializedParams())
        return result

    async def stop(self):
        if self.lsp._server is None or self.lsp._server.returncode is not None:
            return
        await asyncio.wait_for(self.lsp.shutdown_async(None), 20)
        self.lsp.exit(None)
        await asyncio.wait_for(self.lsp._server.wait(), 20)

    # -- what a person does

    def open(self, path, text=None, uri=None, language="python"):
        uri = uri or path.as_uri()
        self.texts[uri] = path.read_bytes().decode() if text is None else text
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri, language, 1, self.texts[uri])
        self.lsp.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri, text):
        self.texts[uri] = text
        self.versions[uri] += 1
        self.lsp.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri]),
                [types.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    def save(self, uri):
        self.lsp.text_document_did_save(
            types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri))
        )

    def changed_on_disk(self, *paths):
        kind = types.FileChangeType.Changed
        self.lsp.workspace_did_change_watched_files(
            types.DidChangeWatchedFilesParams([types.FileEvent(p.as_uri(), kind) for p in paths])
        )

    def reconfigure(self, **configuration):
        self.configuration = configuration
        self.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))

    async def actions(self, uri, line, diagnostics=(), only=None):
        where = types.Range(types.Position(line, 0), types.Position(line, 0))
        context = types.CodeActionContext(list(diagnostics), only=only)
        return await self.lsp.text_document_code_action_async(
            types.CodeActionParams(types.TextDocumentIdentifier(uri), where, context)
        )

    async def execute(self, name, *arguments, token=None):
        return await self.lsp.workspace_execute_command_async(
            types.ExecuteCommandParams(name, list(arguments), token)
        )

    async def pull(self, uri):
        """Diagnostics, as a client asks for them."""
        return await self.lsp.text_document_diagnostic_async(
            types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri))
        )

    async def hover(self, uri, line, character=0):
        where = types.Position(line, character)
        return await self.lsp.text_document_hover_async(
            types.HoverParams(types.TextDocumentIdentifier(uri), where)
        )

    def cancel_progress(self, token):
        self.lsp.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))

    # -- what a person sees

    def seen(self, name):
        return [params for kind, params in self.log if kind == name]

    def messages(self):
        return [params.message for params in self.seen("message")]

    async def wait(self, name, wanted=lambda params: True, seconds=60, after=0):
        """The first notification of that name (past the first `after` of all) that is wanted."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for kind, params in self.log[after:]:
                if kind == name and wanted(params):
                    return params
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {name}; there were {self.log[after:]}")

    async def diagnostics(self, uri, wanted=bool, after=0):
        params = await self.wait(
            "diagnostics", lambda p: p.uri == uri and wanted(p.diagnostics), after=after
        )
        return params.diagnostics


def _converter():
    """lsprotocol takes every code action with a command for a command."""
    converter = default_converter()

    def structure(data, _):
        kind = types.Command if isinstance(data.get("command"), str) else types.CodeAction
        return converter.structure(data, kind)

    converter.register_structure_hook(types.Command | types.CodeAction, structure)
    return converter


def _edits(edit):
    for change in edit.document_changes or ():
        yield change.text_document.uri, change.text_document.version, change.edits
    for uri, edits in (edit.changes or {}).items():
        yield uri, None, edits


def _applied(text, edits):
    """The text after edits whose positions are in UTF-16 units."""
    lines = text.splitlines(keepends=True)

    def offset(position):
        before = "".join(lines[: position.line]).encode("utf-16-le")
        return len(before) + 2 * position.character

    data = text.encode("utf-16-le")
    for edit in sorted(edits, key=lambda e: offset(e.range.start), reverse=True):
        start, end = offset(edit.range.start), offset(edit.range.end)
        data = data[:start] + edit.new_text.encode("utf-16-le") + data[end:]
    return data.decode("utf-16-le")
