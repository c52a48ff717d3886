"""Starts the server on standard input and output, and keeps both to itself.

llama.cpp, pip and whatever else runs in this process or below it would write to file descriptor 1
or read from 0: the protocol gets copies of its own, and the originals are led elsewhere first.
"""

from __future__ import annotations

import os
import sys

from coe_lsp.lsp.server import make_server


def serve(port: int | None) -> int:
    """Serve one client until it is done; on a local TCP port if one is named."""
    server = make_server()
    if port is not None:
        server.start_tcp("127.0.0.1", port)
        return 0
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    server.start_io(reader, writer)
    return 0
