"""Parse Python text: `ast.parse`, made safe for several threads and with one kind of error.

CPython 3.11 counts the depth of the tree that it builds in one counter for the whole process, so
that two threads that parse at once now and then get a `SystemError` ("AST constructor recursion
depth mismatch", python/cpython#106905). Here one of them waits for the other. It reads no files.
"""

from __future__ import annotations

import ast
from threading import Lock

_one_at_a_time = Lock()


def parse(source: str | bytes) -> ast.Module:
    """The tree of a program; bytes are decoded as their coding line or mark says.

    Raises `SyntaxError`, also for what `ast.parse` calls by other names: null bytes, a coding that
    does not exist or does not fit, and brackets nested deeper than the parser can follow.
    """
    try:
        with _one_at_a_time:
            return ast.parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "too deeply nested") from error
