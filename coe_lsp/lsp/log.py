"""Where the server logs: a rotating file, and the editor's output window.

At the default level nothing of the user's source gets into it: no document text, no test output.
The protocol's own log, which has both, is written at level `debug` only.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from coe_lsp.escaping import printable
from coe_lsp.folders import FolderError, log_folder

_KINDS = {
    logging.DEBUG: types.MessageType.Log,
    logging.INFO: types.MessageType.Info,
    logging.WARNING: types.MessageType.Warning,
    logging.ERROR: types.MessageType.Error,
}
_BYTES = 1 << 20


class _EditorHandler(logging.Handler):
    """`window/logMessage`, by whatever thread logs."""

    def __init__(self, server: LanguageServer) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a connection that has gone is no error."""
        try:
            kind = _KINDS.get(record.levelno, types.MessageType.Log)
            self._server.window_log_message(types.LogMessageParams(kind, self.format(record)))
        except Exception:
            self.handleError(record)


class _Formatter(logging.Formatter):
    """Whatever is logged is text, and stays so on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _PrivateFile(RotatingFileHandler):
    """A log that only its user can read."""

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if sys.platform != "win32":
            os.fchmod(handle, 0o600)  # it may be there already, from an older version
        return open(handle, "a", encoding=self.encoding)  # noqa: PTH123 - it is open already


def log_file() -> Path | None:
    """The file that is written, two older ones beside it; None if the user has no place for it."""
    try:
        return log_folder() / "server.log"
    except FolderError:
        return None


def start_logging() -> None:
    """Log what coe-lsp does to the file."""
    logging.raiseExceptions = False  # a full disk must not end up on standard error for ever
    ours = logging.getLogger("coe_lsp")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    protocol = logging.getLogger("pygls")
    protocol.propagate = False
    protocol.setLevel(logging.CRITICAL)
    path = log_file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.chmod(0o700)
        file = _PrivateFile(path, maxBytes=_BYTES, backupCount=2, encoding="utf-8", delay=True)
    except OSError:
        return
    file.setFormatter(_Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    ours.addHandler(file)
    protocol.addHandler(file)


def log_broken(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log where something broke; not the message, which may hold source code."""
    frames = traceback.format_tb(error.__traceback__)
    logger.error("%s broke: %s\n%s", what, type(error).__name__, "".join(frames[-3:]))


def show_in_editor(server: LanguageServer) -> None:
    """Log to the editor's output window as well."""
    editor = _EditorHandler(server)
    editor.setFormatter(_Formatter("%(message)s"))
    logging.getLogger("coe_lsp").addHandler(editor)


def set_level(level: str) -> None:
    """`info` or `debug`; the latter includes the protocol."""
    debug = level == "debug"
    logging.getLogger("coe_lsp").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("pygls").setLevel(logging.DEBUG if debug else logging.CRITICAL)
