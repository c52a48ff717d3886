"""Open documents and the settings that hold for each. On the event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
from coe_lsp.lsp.places import is_within, library_around
from coe_lsp.repair.target.source import SourceError, SourceFile
from coe_lsp.settings import Settings, project_layer, read_settings

# How VS Code addresses the cells of a notebook.
_CELL = "vscode-notebook-cell:"


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


@frozen
class _Read:
    """Settings, and what their file was like when they were read."""

    settings: Settings
    stamp: tuple[int, int] | None


class Workspace:
    """What the editor has open."""

    def __init__(
        self, server: LanguageServer, client: Client, trusted: Callable[[Path], bool]
    ) -> None:
        """`trusted` says whether a project's own settings may be read."""
        self._server = server
        self._client = client
        self._trusted = trusted
        self._options: object = None
        self._settings: dict[Path, _Read] = {}
        self._forgotten = 0
        self._told: set[str] = set()

    def initialize(self, options: Any) -> None:
        """Take the client's `initializationOptions`."""
        self._options = options

    @property
    def folders(self) -> list[Path]:
        """The folders that are open in the editor; none if it opened a file by itself."""
        workspace = self._server.workspace
        found = [uris.to_fs_path(folder.uri) for folder in workspace.folders.values()]
        return [Path(folder) for folder in found or [workspace.root_path] if folder]

    def opened(self) -> list[str]:
        """The addresses of the open documents."""
        return [document.uri for document in self._server.workspace.text_documents.values()]

    def documents(self) -> Iterator[Document]:
        """The open documents that something can be done with."""
        for uri in self.opened():
            try:
                yield self.document(uri)
            except DocumentError:
                continue

    def is_open(self, uri: str) -> bool:
        """Whether the editor has it open."""
        # pygls keeps them by the address without its escapes.
        return unquote(uri) in self._server.workspace.text_documents

    def text(self, uri: str) -> str:
        """An open document's text."""
        return self._server.workspace.get_text_document(uri).source

    def document(self, uri: str) -> Document:
        """An open document. DocumentError if it is not a file of the user's own, or not open."""
        name = name_of(uri)
        path = uris.to_fs_path(uri) if uri.startswith("file:") else None
        if uri.startswith(_CELL):
            raise DocumentError(f"{name} is a notebook: its cells are not tested.")
        if not path:
            raise DocumentError(f"{name} is not a file: save it first, then its tests run.")
        if not self.is_open(uri):
            raise DocumentError(f"{name} is not open.")
        found = Path(path)
        if not found.is_file():
            raise DocumentError(f"{name} is not on the disk yet: save it first.")
        self._must_be_ours(found)
        document = self._server.workspace.get_text_document(uri)
        return Document(
            uri,
            found,
            find_root(found),
            document.source,
            document.version,
            document.position_codec.client_num_units,
        )

    def file(self, path: Path) -> Document:
        """A file of the user's: the open document, else what the disk has, without a version.

        DocumentError or SourceError if nothing can be done with it.
        """
        real = path.resolve()
        for document in self.documents():
            if document.path == path or document.path.resolve() == real:
                return document
        self._must_be_ours(path)
        source = SourceFile.read(path)
        text = ("\ufeff" if source.bom else "") + source.text
        units = self._server.workspace.position_codec.client_num_units
        return Document(path.as_uri(), path, find_root(path), text, None, units)

    def unsaved(self, root: Path) -> dict[Path, SourceFile]:
        """What the editor has of a project's files that the disk does not."""
        found: dict[Path, SourceFile] = {}
        for document in self.documents():
            if document.root == root and document.path.suffix == ".py":
                with contextlib.suppress(SourceError):
                    source = document.source
                    if source.lines != SourceFile.read(document.path).lines:
                        found[document.path] = source
        return found

    def _must_be_ours(self, path: Path) -> None:
        folders = self.folders
        library = library_around(path, folders) or library_around(path.resolve(), folders)
        if library is not None:
            raise DocumentError(
                f"{path.name} belongs to a library ({library}): it is neither tested nor repaired."
            )
        if folders and not is_within(path, folders):
            raise DocumentError(
                f"{path.name} is outside of the folders that are open in the editor, so its tests "
                "do not run: open the folder of its project."
            )

    async def settings(self, document: Document) -> Settings:
        """The settings for a document; what is wrong with them is told once."""
        root = document.root
        trusted = self._trusted(root)
        stamp = _stamp(root / "pyproject.toml") if trusted else None
        if (known := self._settings.get(root)) is not None:
            if known.stamp == stamp:
                return known.settings
            self._told.clear()
        before = self._forgotten
        editor = await self._client.configuration(document.uri)
        problems: tuple[str, ...] = ()
        project: object = None
        try:
            project = project_layer(root) if trusted else None
        except CoeError as error:
            problems = (str(error),)
        settings, wrong = read_settings(
            [
                ("editor", editor),
                ("initializationOptions", self._options),
            ],
            (str(root / "pyproject.toml"), project),
        )
        for problem in (*problems, *wrong):
            self.warn_once(problem)
        if before == self._forgotten:  # else they have changed while the editor answered
            self._settings[root] = _Read(settings, stamp)
        return settings

    def known_settings(self, root: Path) -> Settings | None:
        """The settings of a project as they were last read, if they were."""
        known = self._settings.get(root)
        return known.settings if known is not None else None

    def forget_settings(self) -> None:
        """They have changed: ask again when they are next needed."""
        self._forgotten += 1
        self._settings.clear()
        self._told.clear()

    def warn_once(self, text: str) -> None:
        """Warn the user, but not of the same thing twice."""
        if text not in self._told:
            self._told.add(text)
            self._client.warn(text)


def name_of(uri: str) -> str:
    """What to call a document."""
    path = uri.partition(":")[2].partition("#")[0].rstrip("/")
    return unquote(path.rpartition("/")[2]) or "This document"


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
