"""Parse Python text: `ast.parse`, made safe for several threads and with one kind of error.

And settings in TOML or of the older kind, of texts that would keep their parsers busy for minutes:
keys of thousands of parts, and blanks without end.

CPython 3.11 counts the depth of the tree that it builds in one counter for the whole process, so
that two threads that parse at once now and then get a `SystemError` ("AST constructor recursion
depth mismatch", python/cpython#106905). Here one of them waits for the other. It reads no files.
"""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from threading import Lock
from typing import Any

_one_at_a_time = Lock()
# `tomllib` and `configparser` take a time that grows with the square of these.
_MOST_DOTS = 500  # in one line, where a key is
_BLANKS = re.compile(r"[^\S\n]{200}")
_MOST_INI = 1 << 16  # characters: of their complaints about lines


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


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML file says. ValueError, and no other, if it is none or is made to take long."""
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise ValueError(f"a line has more than {_MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error


def parse_ini(text: str) -> configparser.ConfigParser:
    """What a file of sections says. ValueError or configparser.Error, as with TOML."""
    if len(text) > _MOST_INI or _BLANKS.search(text):
        raise ValueError("it is too long, or has too many blanks")
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    return parser
