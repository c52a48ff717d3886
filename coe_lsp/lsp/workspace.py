"""Open documents and the settings that hold for each. On the event loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import frozen
from pygls import uris
from pygls.lsp.server import LanguageServer

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root
from coe_lsp.lsp.client import Client
from coe_lsp.lsp.documents import source_of
from coe_lsp.repair.settings import Settings, project_layer, read_settings
from coe_lsp.repair.source import SourceFile


class DocumentError(CoeError):
    """A document that nothing can be done with."""


@frozen
class Document:
    """A document as it is now. `units` measures text in the client's units of position."""

    uri: str
    path: Path
    root: Path
    text: str
    version: int | None
    units: Callable[[str], int]

    @property
    def source(self) -> SourceFile:
        """The text as a source file; SourceError if that is impossible."""
        return source_of(self.path, self.text)


class Workspace:
    """What the editor has open."""

    def __init__(self, server: LanguageServer, client: Client) -> None:
        self._server = server
        self._client = client
        self._options: object = None
        self._settings: dict[Path, Settings] = {}
        self._told: set[str] = set()

    def initialize(self, options: Any) -> None:
        """Take the client's `initializationOptions`."""
        self._options = options

    def opened(self) -> list[str]:
        """The addresses of the open documents."""
        return [document.uri for document in self._server.workspace.text_documents.values()]

    def is_open(self, uri: str) -> bool:
        """Whether the editor has it open."""
        # pygls keeps them by the address without its escapes.
        return unquote(uri) in self._server.workspace.text_documents

    def document(self, uri: str) -> Document:
        """An open document. DocumentError if it is not a file, or not open."""
        name = uri.rpartition("/")[2]
        path = uris.to_fs_path(uri) if uri.startswith("file:") else None
        if path is None:
            raise DocumentError(f"{name or uri} is not a file: save it first, then its tests run.")
        if not self.is_open(uri):
            raise DocumentError(f"{name} is not open.")
        found = Path(path)
        if not found.is_file():
            raise DocumentError(f"{name} is not on the disk yet: save it first.")
        document = self._server.workspace.get_text_document(uri)
        return Document(
            uri,
            found,
            find_root(found),
            document.source,
            document.version,
            document.position_codec.client_num_units,
        )

    async def settings(self, document: Document) -> Settings:
        """The settings for a document; what is wrong with them is told once."""
        root = document.root
        if root in self._settings:
            return self._settings[root]
        editor = await self._client.configuration(document.uri)
        problems: tuple[str, ...] = ()
        try:
            project = project_layer(root)
        except CoeError as error:
            project, problems = None, (str(error),)
        settings, wrong = read_settings(
            [
                ("editor", editor),
                ("initializationOptions", self._options),
            ],
            (str(root / "pyproject.toml"), project),
        )
        for problem in (*problems, *wrong):
            self.warn_once(problem)
        self._settings[root] = settings
        return settings

    def forget_settings(self) -> None:
        """They have changed: ask again when they are next needed."""
        self._settings.clear()
        self._told.clear()

    def warn_once(self, text: str) -> None:
        """Warn the user, but not of the same thing twice."""
        if text not in self._told:
            self._told.add(text)
            self._client.warn(text)
