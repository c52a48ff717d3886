"""Changes on the disk: the editor reports them, or at least says what it saved.

Settings are read again, and open documents are checked again whose tests may say something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from lsprotocol import types

from coe_lsp.execution.dependents import imports_any, is_ignored, reached
from coe_lsp.execution.discovery import is_test_file
from coe_lsp.lsp.checks import Checks
from coe_lsp.lsp.workspace import Document, Workspace

_log = logging.getLogger(__name__)
_CONFIGURATION = frozenset({"pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini", "conftest.py"})
# Seconds in which changes are gathered: a checkout changes many files.
_GATHERING = 0.3

WATCHERS = types.DidChangeWatchedFilesRegistrationOptions(
    [
        types.FileSystemWatcher(f"**/{name}")
        for name in ("*.py", "pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini")
    ]
)


class WatchedFiles:
    """Gathers changes and acts on them. On the event loop."""

    def __init__(self, workspace: Workspace, checks: Checks) -> None:
        self._workspace = workspace
        self._checks = checks
        self._changed: set[Path] = set()
        self._saved: set[Path] = set()
        self._seen: dict[Path, int] = {}
        self._task: asyncio.Task[None] | None = None

    def changed(self, paths: Iterable[Path]) -> None:
        """These files were written, made or deleted."""
        # An editor reports what it saved itself twice, as saved and as changed.
        written = {path: _written(path) for path in paths}
        self._note({path: at for path, at in written.items() if self._seen.get(path) != at})

    def saved(self, path: Path) -> None:
        """The editor saved this one, and its own check is under way."""
        self._saved.add(path)
        self._note({path: _written(path)})

    def _note(self, changes: dict[Path, int]) -> None:
        self._seen.update(changes)
        self._changed.update(changes)
        if self._changed and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._soon())

    async def _soon(self) -> None:
        while self._changed:
            await asyncio.sleep(_GATHERING)
            changed, self._changed = self._changed, set()
            saved, self._saved = self._saved, set()
            projects: dict[Path, list[Document]] = {}
            for document in self._workspace.documents():
                projects.setdefault(document.root, []).append(document)
            for root, documents in projects.items():
                here = {
                    path
                    for path in changed
                    if path.is_relative_to(root) and not is_ignored(path, root)
                }
                if here:
                    await self._project(root, documents, here, saved)

    async def _project(
        self, root: Path, documents: list[Document], changed: set[Path], saved: set[Path]
    ) -> None:
        _log.info("changed on the disk in %s: %d files", root, len(changed))
        if any(path.name in _CONFIGURATION for path in changed):
            self._workspace.forget_settings()
            self._checks.restart_workers()
            for document in documents:
                self._checks.outdated(document.uri)
            return
        loop = asyncio.get_running_loop()
        concerned = await loop.run_in_executor(None, reached, changed, root)
        # A test process may have imported what has changed, unless that is what it is made for.
        helpers = {p for p in concerned if p in changed and not is_test_file(p)}
        if helpers:
            self._checks.restart_workers(but=helpers if len(helpers) == 1 else ())
        tests = [path for path in concerned if is_test_file(path)]
        for document in documents:
            path = document.path
            known = self._checks.known(document.uri)
            if changed == {path}:
                if path not in saved:
                    self._checks.reread(document.uri)
            elif path in concerned or any(
                (known is not None and test in known.test_files) or tests_file(test, path)
                for test in tests
            ):
                self._checks.outdated(document.uri)


def tests_file(test: Path, path: Path) -> bool:
    """Whether a file of tests looks like one for a module."""
    by_name = test.stem in (f"test_{path.stem}", f"{path.stem}_test")
    return by_name or imports_any(test, {path.stem})


def _written(path: Path) -> int:
    """When a file was written; 0 if there is none."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
