"""A program as text and syntax tree, and edits of it by position.

Positions are byte offsets, as the syntax tree counts columns. Only what is parsed here is changed,
so comments and layout outside of an edit keep their bytes.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Collection, Iterator, Sequence

from attrs import frozen

from coe_lsp.parsing import parse

_COMMENT = re.compile(r"#[^\n]*")
# What may stand anywhere without parentheses.
_ATOMS = (
    ast.Name,
    ast.Constant,
    ast.Call,
    ast.Attribute,
    ast.Subscript,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.JoinedStr,
)
# Where an expression stands between brackets, commas or line ends of its own.
_ROOMY = (
    ast.Call,
    ast.keyword,
    ast.Return,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Expr,
    ast.If,
    ast.While,
    ast.For,
    ast.Slice,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.Tuple,
    ast.FormattedValue,
)


@frozen
class Edit:
    """Bytes `start` to `end` become `new`. `guess` is the natural log of how likely that is.

    It compares edits of one program with each other, as far as anybody can guess; see `weights`.
    """

    start: int
    end: int
    new: str
    kind: str
    guess: float


class Program:
    """A program that parses; `SyntaxError` if it does not."""

    def __init__(self, text: str, only: Collection[int] | None = None) -> None:
        """`only` names the lines (1-based) in which edits may begin; None for all."""
        self.text = text
        self._only = only
        self.data = text.encode("utf-8", "surrogatepass")
        self.tree = parse(text)
        self._starts = [0]
        for index, byte in enumerate(self.data):
            if byte == 0x0A:
                self._starts.append(index + 1)
        self.parents: dict[ast.AST, ast.AST] = {}
        self._formatted: list[tuple[int, int]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.JoinedStr):
                self._formatted.append(self.span(node))
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    def span(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> tuple[int, int]:
        """Where the node begins and ends."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def line_start(self, line: int) -> int:
        """Where a line (1-based) begins; the program's end for the line after the last."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.data)

    def source(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> str:
        """The node's own text."""
        return self.between(*self.span(node))

    def between(self, start: int, end: int) -> str:
        """The text between two positions."""
        return self.data[start:end].decode("utf-8", "surrogatepass")

    def atom(self, node: ast.expr) -> str:
        """The node's text, in parentheses if it could come apart elsewhere."""
        text = self.source(node)
        return text if isinstance(node, _ATOMS) else f"({text})"

    def fitting(self, new: ast.expr, place: ast.expr) -> str:
        """The text of `new` as it can stand where `place` does."""
        return self.source(new) if self.roomy(place) else self.atom(new)

    def roomy(self, node: ast.expr) -> bool:
        """Whether an operator put in the place of the node would hold together."""
        parent = self.parents.get(node)
        if isinstance(parent, ast.Subscript):
            return node is parent.slice
        if isinstance(parent, ast.Call):
            return node is not parent.func
        return isinstance(parent, _ROOMY)

    def apply(self, edit: Edit) -> str:
        """The program's text after an edit."""
        new = edit.new.encode("utf-8", "surrogatepass")
        changed = self.data[: edit.start] + new + self.data[edit.end :]
        return changed.decode("utf-8", "surrogatepass")

    def line_of(self, position: int) -> int:
        """The line (1-based) of a position."""
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= position else (low, middle)
        return low + 1

    def wanted(self, node: ast.expr | ast.stmt) -> bool:
        """Whether edits may begin where the node does."""
        return self._only is None or node.lineno in self._only

    @functools.cached_property
    def _all_expressions(self) -> tuple[ast.expr, ...]:
        return tuple(self._expressions(self.tree))

    def expressions(self) -> Iterator[ast.expr]:
        """All expressions that run in a call, in order of the text.

        Left out: annotations, decorators, docstrings, patterns, the text of formatted strings. What
        stands in their braces is in, where its position is right: before Python 3.12 it may not be.
        """
        return iter(self._all_expressions)

    def fits(self, edit: Edit) -> bool:
        """Whether an edit in the braces of a formatted string leaves that whole in any Python."""
        for start, end in self._formatted:
            if start < edit.start and edit.end < end:
                quote = self.data[start:end].decode("utf-8", "replace").rstrip()[-1:]
                return not any(mark in edit.new for mark in (quote, "\\", "\n", "#"))
        return True

    def _expressions(self, node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.expr):
            yield node
        if isinstance(node, ast.JoinedStr):
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and self._is_where_it_says(part.value):
                    yield from self._expressions(part.value)
            return
        if isinstance(node, ast.pattern):
            return
        yield from self._below(node)

    def _below(self, node: ast.AST) -> Iterator[ast.expr]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                    continue
                if isinstance(child, ast.AST):
                    yield from self._expressions(child)

    def _is_where_it_says(self, node: ast.expr) -> bool:
        try:
            body = parse(f"({self.source(node)})").body
        except (SyntaxError, ValueError, IndexError):
            return False
        return (
            len(body) == 1
            and isinstance(body[0], ast.Expr)
            and ast.dump(body[0].value) == ast.dump(node)
        )


def put(program: Program, node: ast.expr, new: str, kind: str, weight: float) -> Edit:
    """The edit that puts `new` in place of an expression."""
    return Edit(*program.span(node), new, kind, weight)


def room_for_argument(program: Program, call: ast.Call) -> tuple[int, str]:
    """Where one more argument of a call goes, and what stands before it then."""
    end = program.span(call)[1] - 1
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not given:
        return end, ""
    gap = program.between(max(program.span(value)[1] for value in given), end)
    return end, "" if "," in _COMMENT.sub("", gap) else ", "


def together(
    program: Program,
    spans: Sequence[tuple[int, int]],
    news: Sequence[str],
    kind: str,
    weight: float,
) -> Edit:
    """The one edit that makes changes in several places, given in order of the text."""
    parts: list[str] = []
    end = spans[0][0]
    for (start, stop), new in zip(spans, news, strict=True):
        parts += [program.between(end, start), new]
        end = stop
    return Edit(spans[0][0], end, "".join(parts), kind, weight)
