"""The code of its own file that a person would look at to repair a function.

What it imports and names, the class that it is a method of, the helpers that it names, and who
calls it; long ones folded to their signatures. It goes by names alone, resolves nothing, and reads
no other file. The function under repair may be broken in any way: only what is around it is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from coe_lsp.mutations.surroundings import find_class
from coe_lsp.parsing import parse
from coe_lsp.repair.context_pieces import Piece
from coe_lsp.repair.target.source import Function, SourceFile

Definition = ast.FunctionDef | ast.AsyncFunctionDef
_CLASS, _USED, _CONSTANT, _HELPER, _CALLER, _UNUSED = 2, 3, 4, 5, 7, 9

_IMPORT_LINES, _CLASS_LINES, _VALUE_LINES, _BODY_LINES = 12, 14, 3, 8
_HELPERS, _CALLERS = 5, 3
_LONGEST_LINE = 160
_MANY_NAMES = 4
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")
_TEXT = re.compile(r"(\"\"\"|\'\'\').*?\1|#[^\n]*", re.DOTALL)
_OF_ITSELF = re.compile(r"\b(?:self|cls)\.(\w+)")
_WORD = re.compile(r"\w+")
_FOLD = "..."


def code_pieces(source: SourceFile, function: Function | None, tests: Sequence[str]) -> list[Piece]:
    """In the order of the file, but for callers, which come last. None if it does not parse.

    `function` None: the file is what is around a program that is not in it. `tests` is the text of
    tests: what they import as well is kept longer.
    """
    lines = [line.rstrip("\r\n") for line in source.lines]
    body = "\n".join(lines[function.first - 1 : function.last]) if function else ""
    try:
        tree = parse("\n".join(_without(lines, function)))
    except SyntaxError:
        return []
    body = _TEXT.sub("", body)
    used = set(_WORD.findall(body))
    pieces = list(_imports(tree.body, used, set(_WORD.findall("\n".join(tests)))))
    if function is None:
        return pieces
    owner = find_class(tree.body, function.owner)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    there = {node.name for node in tree.body if isinstance(node, kinds)}
    mentioned = [name for name in dict.fromkeys(_NAME.findall(body)) if name in there]
    helpers, own = mentioned[:_HELPERS], set(_OF_ITSELF.findall(body))
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _names(node) & used:
            pieces.append(Piece(_CONSTANT, (_cut(lines, node, _VALUE_LINES),)))
        elif isinstance(node, Definition) and node.name in helpers:
            if not _covers(node, function):
                pieces.append(Piece(_HELPER, tuple(_folded(lines, node))))
        elif isinstance(node, ast.ClassDef):
            if owner is not None and _covers(node, function):
                pieces += _own_class(lines, owner, function, own)
            elif node.name in helpers:
                pieces.append(Piece(_HELPER, (_class_head(lines, node),)))
    return [*pieces, *_callers(lines, tree.body, function, owner)]


def _without(lines: Sequence[str], function: Function | None) -> Iterator[str]:
    """The lines with the function replaced by one that does nothing, on the same lines."""
    for number, line in enumerate(lines, 1):
        if function is None or not function.first <= number <= function.last:
            yield line
        elif number == function.first:
            name = function.name.rpartition(".")[2]
            yield f"{line[: len(line) - len(line.lstrip())]}def {name}(): pass"
        else:
            yield ""


def _covers(node: ast.stmt, function: Function) -> bool:
    return node.lineno <= function.first <= (node.end_lineno or node.lineno)


def _imports(body: Sequence[ast.stmt], used: set[str], tested: set[str]) -> Iterator[Piece]:
    found = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for count, node in enumerate(found):
        names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        if names & used or names & tested:
            if len(node.names) > _MANY_NAMES:
                node.names = [a for a in node.names if (a.asname or a.name) in used | tested]
            yield Piece(_USED, (ast.unparse(node),))
        elif count < _IMPORT_LINES:
            text = ast.unparse(node)
            if len(text) <= _LONGEST_LINE:
                yield Piece(_UNUSED, (text,))


def _names(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _cut(lines: Sequence[str], node: ast.stmt, most: int) -> str:
    """The first lines of a statement."""
    text = lines[node.lineno - 1 : node.end_lineno]
    some = [line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + _FOLD for line in text]
    return "\n".join(some if len(text) <= most else [*some[:most], _indent(some[0]) + _FOLD])


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _signature(lines: Sequence[str], node: Definition) -> list[str]:
    some = list(lines[node.lineno - 1 : max(node.body[0].lineno - 1, node.lineno)])
    while len(some) > 1 and (not some[-1].strip() or some[-1].lstrip().startswith("#")):
        some.pop()
    return some


def _folded(lines: Sequence[str], node: Definition) -> Iterator[str]:
    """A function whole, if it is short, and its signature alone."""
    documented = ast.get_docstring(node, clean=False) is not None
    body = node.body[1:] if documented and len(node.body) > 1 else node.body
    signature = _signature(lines, node)
    start = body[0].lineno
    inside = lines[max(start - 1, node.lineno) : node.end_lineno]
    if len(inside) <= _BODY_LINES and all(len(line) <= _LONGEST_LINE for line in inside):
        yield "\n".join([*signature, *inside])
    if inside:
        yield "\n".join([*signature, _indent(lines[start - 1]) + _FOLD])


def _class_head(lines: Sequence[str], node: ast.ClassDef) -> str:
    """The class's first line, and the signature of its constructor."""
    made = [n for n in node.body if isinstance(n, Definition) and n.name == "__init__"]
    return "\n".join([lines[node.lineno - 1], *(list(_folded(lines, n))[-1] for n in made[:1])])


def _own_class(
    lines: Sequence[str], owner: ast.ClassDef, function: Function, own: set[str]
) -> Iterator[Piece]:
    """The head of the function's class, its attributes and constructor, and methods it uses."""
    yield Piece(_CLASS, (lines[owner.lineno - 1].strip(),))
    left = _CLASS_LINES
    methods = 0
    for node in owner.body:
        if _covers(node, function):
            continue
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and left > 0:
            text = _cut(lines, node, min(left, _VALUE_LINES))
            left -= text.count("\n") + 1
            yield Piece(_CLASS if _names(node) & own else _CONSTANT, (text,))
        elif isinstance(node, Definition) and node.name == "__init__":
            yield Piece(_CLASS, (_cut(lines, node, _CLASS_LINES), list(_folded(lines, node))[-1]))
        elif isinstance(node, Definition) and node.name in own and methods < _HELPERS:
            methods += 1
            yield Piece(_HELPER, tuple(_folded(lines, node)))


def _callers(
    lines: Sequence[str], body: Sequence[ast.stmt], function: Function, owner: ast.ClassDef | None
) -> Iterator[Piece]:
    """Signatures of functions that call this one, each with the first line that does."""
    name = re.escape(function.name.rpartition(".")[2])
    if owner is None:
        calls, within = re.compile(rf"(?<![\w.]){name}[ \t]*\("), body
    elif name == "__init__":
        calls, within = re.compile(rf"\b{re.escape(owner.name)}[ \t]*\("), body
    else:
        calls, within = re.compile(rf"\b(?:self|cls|{re.escape(owner.name)})\.{name}\b"), owner.body
    count = 0
    for around, node in _definitions(within):
        if count == _CALLERS:
            return
        if node.lineno == function.first:
            continue
        start = max(node.body[0].lineno, node.lineno + 1)
        inside = range(start, (node.end_lineno or start) + 1)
        encloses = node.lineno <= function.first <= inside.stop - 1
        found = (n for n in inside if calls.search(lines[n - 1]) and not _inside(n, function))
        number = next(found, 0)
        if not number and not encloses:
            continue
        count += 1
        signature = _signature(lines, node)
        fold = [_indent(lines[start - 1]) + _FOLD] if number != start else []
        call = [lines[number - 1][:_LONGEST_LINE]] if number else []
        head = [lines[around.lineno - 1]] if around else []
        yield Piece(_CALLER, ("\n".join([*head, *signature, *fold, *call]),))


def _inside(number: int, function: Function) -> bool:
    return function.first <= number <= function.last


def _definitions(
    body: Sequence[ast.stmt], around: ast.ClassDef | None = None
) -> Iterator[tuple[ast.ClassDef | None, Definition]]:
    """Functions and, with their classes, methods, but not what is nested in them."""
    for node in body:
        if isinstance(node, Definition):
            yield around, node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, node)
