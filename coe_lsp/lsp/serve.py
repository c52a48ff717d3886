"""Starts the server on standard input and output, keeps both to itself, and ends it.

llama.cpp, pip and whatever else runs in this process or below it would write to file descriptor 1
or read from 0: the protocol gets copies of its own, and the originals are led elsewhere first.

Exit status: 0 after `shutdown` and `exit`; 1 if the client went without; 2 after a message that
made no sense; 128 and the signal's number after SIGTERM, SIGHUP or SIGINT.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from coe_lsp.lsp.handlers import make_server


def serve(port: int | None) -> NoReturn:
    """Serve one client until it is done; on a local TCP port if one is named."""
    server = make_server()
    if port is not None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
        server.serve(connection.makefile("rb"), connection.makefile("wb"))
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    server.serve(reader, writer)
