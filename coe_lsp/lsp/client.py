"""What the editor at the other end can do, and how it is told and asked.

Every difference between editors is decided here. All of it runs on the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal, cast

from attrs import asdict, evolve, field, frozen
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from coe_lsp.escaping import printable

# Editors that show diagnostics elsewhere than in the hover.
_MARKS_ELSEWHERE = frozenset({"neovim", "vim", "helix"})

State = Literal["idle", "testing", "loading", "fetching", "repairing", "failed"]


@frozen
class FilePreview:
    """Another file that a change is about, and its whole new text."""

    uri: str
    new_text: str


@frozen
class PatchPreview:
    """A change that may be made: a name, a unified diff, a document and its whole new text.

    `also` are the files that it changes besides, `detail` says what sets it apart from others.
    """

    label: str
    diff: str
    uri: str
    new_text: str
    also: tuple[FilePreview, ...] = ()
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the plugins get it."""
        found = {"label": printable(self.label), "diff": self.diff, "newText": self.new_text}
        if self.detail:
            found["detail"] = printable(self.detail)
        also = [{"uri": file.uri, "newText": file.new_text} for file in self.also]
        return {**found, "uri": self.uri, **({"also": also} if also else {})}


@frozen
class Status:
    """What the server is at, for a status item; see docs/editors.md.

    With `uri` it is about a document's tests: how many of them fail and pass, if they have run.
    """

    state: State
    message: str
    uri: str | None = field(default=None, kw_only=True)
    failing: int | None = field(default=None, kw_only=True)
    passed: int | None = field(default=None, kw_only=True)
    repair: int | None = None
    function: str | None = None
    turn: int | None = None
    queued: int | None = None
    percentage: int | None = None


class Client:
    """The editor."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._tokens = itertools.count(1)
        #: As it calls itself in `initialize`.
        self.name = ""

    # -- what it can do

    @property
    def _capabilities(self) -> types.ClientCapabilities:
        return self._server.client_capabilities

    def _announced(self, name: str) -> bool:
        experimental: Any = self._capabilities.experimental
        if not isinstance(experimental, dict):
            return False
        ours = cast("dict[str, Any]", experimental).get("coe")
        return isinstance(ours, dict) and cast("dict[str, Any]", ours).get(name) is True

    @property
    def previews(self) -> bool:
        """Whether a plugin of ours shows patches and asks."""
        return self._announced("preview")

    @property
    def shows_texts(self) -> bool:
        """Whether a plugin of ours shows what `coe.showChain` and `coe.doctor` return."""
        return self._announced("chain")

    @property
    def shows_status(self) -> bool:
        """Whether a plugin of ours shows what the server is at."""
        return self._announced("status")

    @property
    def guards_workspace(self) -> bool:
        """Whether it starts us only in folders that the user trusts."""
        return self._announced("workspaceTrust")

    @property
    def reads_markdown(self) -> bool:
        """Whether a hover may be Markdown."""
        document = self._capabilities.text_document
        formats = document.hover.content_format if document and document.hover else None
        return types.MarkupKind.Markdown in (formats or ())

    @property
    def confirms_edits(self) -> bool:
        """Whether edits that need confirmation are confirmed."""
        edit = self._workspace_edit
        return edit is not None and edit.change_annotation_support is not None

    @property
    def versioned_edits(self) -> bool:
        """Whether an edit can name the version of the document that it is for."""
        edit = self._workspace_edit
        # Neovim takes them, and does not say so.
        return self.name == "Neovim" or (edit is not None and bool(edit.document_changes))

    @property
    def _workspace_edit(self) -> types.WorkspaceEditClientCapabilities | None:
        workspace = self._capabilities.workspace
        return workspace.workspace_edit if workspace else None

    @property
    def tags_actions(self) -> bool:
        """Whether code actions can be marked as made by a model (LSP 3.18)."""
        document = self._capabilities.text_document
        action = document.code_action if document else None
        support = action.tag_support if action else None
        return support is not None and types.CodeActionTag.LlmGenerated in support.value_set

    @property
    def disables_actions(self) -> bool:
        """Whether code actions may be there and say why they cannot be taken."""
        document = self._capabilities.text_document
        action = document.code_action if document else None
        return action is not None and bool(action.disabled_support)

    @property
    def pulls_marks(self) -> bool:
        """Whether it asks for diagnostics, and again when it is told to.

        Plugins of ours are sent them, together with the status.
        """
        document, workspace = self._capabilities.text_document, self._capabilities.workspace
        again = workspace.diagnostics if workspace else None
        pulls = document is not None and document.diagnostic is not None
        return pulls and again is not None and bool(again.refresh_support) and not self.shows_status

    @property
    def hovers_over_marks(self) -> bool:
        """Whether what a mark says is shown beside a hover at its place."""
        return self.name.lower() not in _MARKS_ELSEWHERE

    @property
    def configurable(self) -> bool:
        """Whether it answers `workspace/configuration`."""
        workspace = self._capabilities.workspace
        return workspace is not None and bool(workspace.configuration)

    # -- telling it

    def status(self, status: Status) -> None:
        """For the plugins' status items."""
        if self.shows_status:
            shown = evolve(status, message=printable(status.message))
            self._server.protocol.notify(
                "coe/status", asdict(shown, filter=lambda _, value: value is not None)
            )

    def message(self, text: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """One message that the user sees."""
        self._server.window_show_message(types.ShowMessageParams(kind, printable(text)))

    def warn(self, text: str) -> None:
        """One warning that the user sees."""
        self.message(text, types.MessageType.Warning)

    async def progress(
        self,
        title: str,
        cancel: Callable[[], object],
        message: str = "",
        *,
        token: types.ProgressToken | None = None,
        counted: bool = True,
    ) -> Progress:
        """A progress report with a cancel button; nothing is shown where that is not supported.

        Of the `token` that came with a request, else of a new one. `counted`: with percentages.
        """
        window = self._capabilities.window
        progress = self._server.work_done_progress
        if token is None:
            if not (window and window.work_done_progress):
                return Progress(self._server, None)
            token = f"coe-{next(self._tokens)}"
            try:
                await progress.create_async(token)  # pyright: ignore[reportUnknownMemberType]
            except JsonRpcException:
                return Progress(self._server, None)
        # Without a percentage here none counts later.
        begin = types.WorkDoneProgressBegin(
            title=printable(title),
            cancellable=True,
            message=printable(message),
            percentage=0 if counted else None,
        )
        progress.begin(token, begin)
        # pygls cancels this future when the client sends window/workDoneProgress/cancel.
        cancelled = cast("Future[Any]", progress.tokens[token])  # pyright: ignore[reportUnknownMemberType]
        cancelled.add_done_callback(lambda done: cancel() if done.cancelled() else None)
        return Progress(self._server, token)

    # -- asking it

    async def choose(self, text: str, *choices: str) -> str | None:
        """A question with buttons; None if it was closed."""
        answer = await self._server.window_show_message_request_async(
            types.ShowMessageRequestParams(
                types.MessageType.Info,
                printable(text),
                [types.MessageActionItem(name) for name in choices],
            )
        )
        return answer.title if answer is not None else None

    async def preview(self, params: dict[str, Any], patches: list[PatchPreview]) -> int | None:
        """Have the plugin show patches; the index of the accepted one."""
        shown = [patch.to_json() for patch in patches]
        try:
            answer: Any = await self._server.protocol.send_request_async(
                "coe/preview", {**params, "patches": shown}
            )
        except JsonRpcException:
            return None
        accept = (
            cast("dict[str, Any]", answer).get("accept")
            if isinstance(answer, dict)
            else getattr(answer, "accept", None)
        )
        return accept if isinstance(accept, int) and 0 <= accept < len(patches) else None

    async def configuration(self, uri: str) -> object:
        """The section `coe` for a document, or None."""
        if not self.configurable:
            return None
        try:
            found = await asyncio.wait_for(
                self._server.workspace_configuration_async(
                    types.ConfigurationParams(
                        [types.ConfigurationItem(scope_uri=uri, section="coe")]
                    )
                ),
                timeout=5,
            )
        except (JsonRpcException, TimeoutError):
            return None
        return found[0] if found else None

    async def apply(
        self, label: str, changes: Sequence[DocumentEdits], *, confirm: bool
    ) -> str | None:
        """Have edits of documents applied, all as one; None if they were, else why not."""
        if not self.versioned_edits:
            edit = types.WorkspaceEdit(changes={one.uri: one.edits for one in changes})
        else:
            annotations = None
            if confirm:
                annotations = {"coe": types.ChangeAnnotation(label, needs_confirmation=True)}
            edit = types.WorkspaceEdit(
                document_changes=[one.versioned(annotated=confirm) for one in changes],
                change_annotations=annotations,
            )
        result = await self._server.workspace_apply_edit_async(
            types.ApplyWorkspaceEditParams(edit=edit, label=label)
        )
        if result.applied:
            return None
        return result.failure_reason or "the editor did not apply the edit"


@frozen
class DocumentEdits:
    """Edits of one document, for the text that it has in this version."""

    uri: str
    version: int | None
    edits: list[types.TextEdit]

    def versioned(self, *, annotated: bool) -> types.TextDocumentEdit:
        """As one of several changes of a workspace."""
        changes: list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]
        changes = [*self.edits]
        if annotated:
            changes = [types.AnnotatedTextEdit("coe", e.range, e.new_text) for e in self.edits]
        document = types.OptionalVersionedTextDocumentIdentifier(self.uri, self.version)
        return types.TextDocumentEdit(document, changes)


class Progress:
    """One progress report; ends once, and forgets its token, which pygls would keep."""

    def __init__(self, server: LanguageServer, token: types.ProgressToken | None) -> None:
        self._server = server
        self._token = token
        self._reached = 0

    def report(self, message: str, percentage: int | None = None) -> None:
        """Say what goes on now; a `percentage` that falls is not told."""
        if self._token is not None:
            if percentage is not None:
                percentage = self._reached = max(self._reached, percentage)
            report = types.WorkDoneProgressReport(message=printable(message), percentage=percentage)
            self._server.work_done_progress.report(self._token, report)

    def end(self, message: str) -> None:
        """Say how it ended."""
        token, self._token = self._token, None
        if token is not None:
            self._server.work_done_progress.end(
                token, types.WorkDoneProgressEnd(message=printable(message))
            )
            tokens = cast("dict[types.ProgressToken, Any]", self._server.work_done_progress.tokens)  # pyright: ignore[reportUnknownMemberType]
            tokens.pop(token, None)
