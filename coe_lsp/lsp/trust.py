"""Which folders the user lets run: nothing of any other project folder is started.

The answer to the question is kept on disk, for all later sessions; a refusal holds for this one,
and a command that names the file asks again. A client that has such a question of its own
(`experimental.coe.workspaceTrust`) starts the server only where it was answered with yes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pygls.exceptions import JsonRpcException

from coe_lsp.errors import CoeError
from coe_lsp.execution.mounts import covers_home, is_shared_place
from coe_lsp.folders import FolderError, state_folder
from coe_lsp.lsp.client import Client

_log = logging.getLogger(__name__)
TRUST, NOT_NOW = "Trust this folder", "Not now"
_SCHEMA = 1


class UntrustedError(CoeError):
    """The user has not agreed that a folder's code runs."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"{root} is not trusted: its tests are not run.")


class TrustedFolders:
    """The folders on disk. Read at every question, since other servers write it, too."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` is the file; it need not exist."""
        self._given = path

    @property
    def _path(self) -> Path:
        return self._given or state_folder() / "trusted.json"

    def covers(self, root: Path) -> bool:
        """Whether the folder or one around it is trusted."""
        root = root.resolve()
        return any(_covers(Path(folder), root) for folder in self._read())

    def add(self, root: Path) -> None:
        """Trust a folder from now on. OSError or FolderError if that cannot be written down."""
        from filelock import FileLock

        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._path.with_suffix(".lock"), timeout=5, mode=0o600):
            folders = sorted({*self._read(), str(root.resolve())})
            # Readable for the user alone, as mkstemp makes it; and whole, or not there.
            handle, name = tempfile.mkstemp(dir=folder, prefix=self._path.name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump({"schema": _SCHEMA, "trusted": folders}, file, indent=2)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _read(self) -> list[str]:
        try:
            data: Any = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, FolderError):
            return []
        except (OSError, ValueError) as error:
            _log.warning("what is trusted cannot be read, so nothing is: %s", error)
            return []
        found = cast("dict[str, Any]", data).get("trusted") if isinstance(data, dict) else None
        items = cast("list[object]", found) if isinstance(found, list) else []
        return [item for item in items if isinstance(item, str) and Path(item).is_absolute()]


def _covers(trusted: Path, root: Path) -> bool:
    if trusted == root:
        return True
    # Whoever trusts a script that lies in the home folder, or among temporary files, does not mean
    # all that is below it.
    return root.is_relative_to(trusted) and not (covers_home(trusted) or is_shared_place(trusted))


class Trust:
    """Asks the user, once for each folder."""

    def __init__(self, client: Client, granted: Callable[[Path], None]) -> None:
        """`granted` gets each folder that becomes trusted."""
        self._client = client
        self._granted = granted
        self._folders = TrustedFolders()
        self._declined: set[Path] = set()
        self._unwritten: set[Path] = set()
        self._questions: dict[Path, asyncio.Task[bool]] = {}

    def holds(self, root: Path) -> bool:
        """Whether the folder is trusted as things are; asks nobody."""
        known = self._client.guards_workspace or root in self._unwritten
        return known or self._folders.covers(root)

    async def require(self, root: Path, *, asked: bool, isolated: bool) -> None:
        """Return if the folder's code may run, having asked if need be. Else UntrustedError.

        `asked`: the user wants it run, so an earlier refusal does not count. `isolated`: it would
        run in the sandbox, which the question says.
        """
        if self.holds(root):
            return
        if root in self._declined and not asked:
            raise UntrustedError(root)
        if (question := self._questions.get(root)) is None:
            question = asyncio.get_running_loop().create_task(self._ask(root, isolated=isolated))
            self._questions[root] = question
            question.add_done_callback(lambda _: self._questions.pop(root, None))
        # Whoever waits may be cancelled, by the next save say; the question stays.
        if not await asyncio.shield(question):
            raise UntrustedError(root)

    async def _ask(self, root: Path, *, isolated: bool) -> bool:
        how = (
            "in the sandbox, without network and without your other files,"
            if isolated
            else "without a sandbox (coe.sandbox is off)"
        )
        text = (
            f"Run the tests of {root}? Its code runs {how} whenever a file of it is opened, saved "
            "or repaired."
        )
        try:
            answer = await self._client.choose(text, TRUST, NOT_NOW)
        except JsonRpcException as error:
            _log.warning("the editor could not ask whether %s is trusted: %s", root, error)
            answer = None
        if answer != TRUST:
            self._declined.add(root)
            return False
        _log.info("trusted: %s", root)
        self._declined.discard(root)
        try:
            self._folders.add(root)
        except (OSError, FolderError) as error:
            _log.warning("that %s is trusted could not be written down: %s", root, error)
            self._unwritten.add(root)
        self._granted(root)
        return True
