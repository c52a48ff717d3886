"""A source file as bytes, the functions in it, and how to put a changed function back.

Whatever is not changed keeps its bytes: byte-order mark, encoding cookie, line ends (mixed ones
too), tabs, trailing blanks and a missing last newline. Lines are what Python calls lines, so form
feeds and Unicode separators do not end one. A file that does not parse still has functions, found
by indentation.
"""

from __future__ import annotations

import ast
import difflib
import functools
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import place_of
from coe_lsp.files import MOST_SOURCE, read_bounded
from coe_lsp.folders import expanded
from coe_lsp.parsing import parse

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_DEF = re.compile(r"^([ \t]*)(?:async[ \t]+def|def|class)[ \t]+(\w+)")
_BOM = b"\xef\xbb\xbf"


class SourceError(CoeError):
    """The file cannot be repaired as it is."""


def split_lines(text: str) -> tuple[str, ...]:
    """Lines with their ends, as Python and the language server protocol see them."""
    return tuple(_LINE.findall(text))


def locate(path: Path) -> Path:
    """Where a file that the user named is worked on. SourceError if there is no such file."""
    try:
        found = place_of(expanded(path))
        if found.is_dir():
            raise SourceError(f"{path} is a folder; name a Python file in it.")
        if not found.is_file():
            raise SourceError(f"There is no file {path}.")
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a null byte
        raise SourceError(f"{str(path)[:200]} is not a usable path: {error}.") from error
    return found


@frozen
class Function:
    """A function by its qualified name; lines are 1-based and include decorators."""

    name: str
    first: int
    last: int

    @property
    def owner(self) -> str:
        """The qualified name of the class or function around it, or ''."""
        return self.name.rpartition(".")[0]

    def is_run_by(self, lines: Iterable[int]) -> bool:
        """Whether some of these lines, of those that a test ran, are in its body.

        The line of the `def` itself runs at import, not in a call.
        """
        return any(self.first < line <= self.last for line in lines)

    def apart(self, other: Function) -> bool:
        """Whether the two have no line in common."""
        return self.last < other.first or self.first > other.last


@frozen
class SourceFile:
    """The file's text as lines with their line ends, and what is needed to write it back."""

    path: Path
    encoding: str
    bom: bool
    lines: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> SourceFile:
        """Read a file. Raises SourceError if it is not Python text of a reasonable size."""
        try:
            data = read_bounded(path, MOST_SOURCE)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
        return cls.parse(path, data)

    @classmethod
    def parse(cls, path: Path, data: bytes) -> SourceFile:
        """Take the file's content from `data`. Raises SourceError like `read`."""
        if len(data) > MOST_SOURCE:
            raise SourceError(f"{path} has {len(data)} bytes; the limit is {MOST_SOURCE}.")
        if b"\0" in data:
            raise SourceError(f"{path} is not Python source: it contains null bytes.")
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            # The signature is kept apart, so that it is written back once and only if it was there.
            encoding = "utf-8" if encoding == "utf-8-sig" else encoding
            source = cls(
                path,
                encoding,
                data.startswith(_BOM),
                split_lines(data.removeprefix(_BOM).decode(encoding)),
            )
            whole = source.encode(source.lines) == data
        except (SyntaxError, LookupError, ValueError) as error:  # codecs raise all kinds of these
            raise SourceError(f"{path} cannot be decoded: {error}.") from error
        # Some encodings write other bytes than they read, or do not know the line that names them.
        if not whole or (encoding != "utf-8" and "coding" not in "".join(source.lines[:2])):
            raise SourceError(
                f"{path} cannot be decoded: {encoding} is no encoding that Python source can have."
            )
        return source

    @property
    def text(self) -> str:
        """The whole text, line ends as they are in the file."""
        return "".join(self.lines)

    def encode(self, lines: Sequence[str]) -> bytes:
        """The file's bytes with these lines. UnicodeEncodeError if the encoding lacks one."""
        return (_BOM if self.bom else b"") + "".join(lines).encode(self.encoding)

    @functools.cached_property
    def newline(self) -> str:
        """The line end that most lines have."""
        ends = Counter(line[len(line.rstrip("\r\n")) :] for line in self.lines)
        ends.pop("", None)
        return max(ends, key=lambda end: ends[end]) if ends else "\n"

    def functions(self) -> tuple[Function, ...]:
        """All functions in the order in which they appear, nested ones after those around them."""
        try:
            tree = parse(self.text)
        except SyntaxError:
            return tuple(self._functions_by_indentation())
        found: list[Function] = []

        def visit(node: ast.AST, prefix: str) -> None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    continue
                if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    name = prefix + child.name
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    if not isinstance(child, ast.ClassDef):
                        found.append(Function(name, first, child.end_lineno or first))
                    visit(child, name + ".")
                else:
                    visit(child, prefix)

        visit(tree, "")
        return tuple(found)

    def _functions_by_indentation(self) -> list[Function]:
        found: list[Function] = []
        open_blocks: list[tuple[str, str]] = []  # indentation and qualified name
        for number, line in enumerate(self.lines, 1):
            match = _DEF.match(line)
            if match is None:
                continue
            indent = match[1]
            while open_blocks and len(indent) <= len(open_blocks[-1][0]):
                open_blocks.pop()
            name = ".".join([*([open_blocks[-1][1]] if open_blocks else []), match[2]])
            open_blocks.append((indent, name))
            if "class" not in line[: match.start(2)]:
                first = number
                while first > 1 and self.lines[first - 2].startswith(indent + "@"):
                    first -= 1
                found.append(Function(name, first, self._end_of_block(number, len(indent))))
        return found

    def _end_of_block(self, start: int, indent: int) -> int:
        last = start
        for number in range(start + 1, len(self.lines) + 1):
            line = self.lines[number - 1]
            if not line.strip():
                continue
            if len(line) - len(line.lstrip(" \t")) <= indent and not line.lstrip().startswith(")"):
                break
            last = number
        return last

    def scratch_lines(self, function: Function) -> tuple[str, ...]:
        """The function's lines without line ends and without the first one's indentation.

        A line that has less, as in a comment or a text of several lines, stays as it is.
        """
        raw = [line.rstrip("\r\n") for line in self.lines[function.first - 1 : function.last]]
        indent = self.indentation(function)
        return tuple(line.removeprefix(indent) if line.strip() else line.strip() for line in raw)

    def indentation(self, function: Function) -> str:
        """The indentation of the function's first line."""
        first = self.lines[function.first - 1]
        return first[: len(first) - len(first.lstrip(" \t"))]

    def replace(self, function: Function, lines: Sequence[str]) -> tuple[str, ...]:
        """The file's lines with the function's scratch lines changed to `lines`.

        Lines that stay the same keep their bytes; new ones get the function's indentation and the
        line end that most of the file has.
        """
        old_raw = self.lines[function.first - 1 : function.last]
        indent, newline = self.indentation(function), self.newline
        matcher = difflib.SequenceMatcher(
            None, self.scratch_lines(function), list(lines), autojunk=False
        )
        new: list[str] = []
        for tag, first, last, start, end in matcher.get_opcodes():
            if tag == "equal":
                new.extend(old_raw[first:last])
            else:
                new.extend((indent + line if line else "") + newline for line in lines[start:end])
        after = self.lines[function.last :]
        if new:
            body = new[-1].rstrip("\r\n")
            if not after:
                # The end of the file stays as it was, with or without a line end.
                old_last = old_raw[-1]
                new[-1] = body + old_last[len(old_last.rstrip("\r\n")) :]
            new[:-1] = [
                line if line.endswith(("\r", "\n")) else line + newline for line in new[:-1]
            ]
        return (*self.lines[: function.first - 1], *new, *after)

    def find(self, name: str) -> Function:
        """The function of that qualified, or unique last, name. SourceError if there is none."""
        functions = self.functions()
        matches = [f for f in functions if f.name == name]
        matches = matches or [f for f in functions if f.name.endswith("." + name)]
        if len(matches) > 1:
            names = ", ".join(f"`{f.name}` (line {f.first})" for f in matches)
            raise SourceError(f"`{name}` could be any of {names}; give the qualified name.")
        if not matches:
            known = ", ".join(f"`{f.name}`" for f in functions) or "none at all"
            raise SourceError(f"{self.path.name} has no function `{name}`; it has {known}.")
        return matches[0]


def unified_diff(path: str, old: Sequence[str], new: Sequence[str]) -> str:
    """A unified diff for `patch -p1` or `git apply`; the path is relative to the root."""
    parts: list[str] = []
    for line in difflib.unified_diff(old, new, f"a/{path}", f"b/{path}"):
        parts.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return "".join(parts)


def relative(path: Path, root: Path) -> str:
    """A path as it appears in diffs and messages."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
