"""Names that a file uses and does not import: where an import goes, and how other files do it."""

from __future__ import annotations

import ast
import difflib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from coe_lsp.execution.dependents import python_files
from coe_lsp.files import read_text_bounded
from coe_lsp.mutations.imports import import_statements, is_above_imports
from coe_lsp.parsing import parse
from coe_lsp.repair.target.source import Function, SourceFile

#: What an import is called.
IMPORT = "<import>"
_UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
_MOST_FILES, _MOST_LINES = 500, 60


def undefined_name(detail: str) -> str | None:
    """The name that a test failed for, if it was for one that is not defined."""
    found = _UNDEFINED.match(detail)
    return found[1] if found else None


def wants_import(name: str, source: SourceFile) -> bool:
    """Whether an undefined name is likelier to be one that was not imported than a misspelt one."""
    words = set(re.findall(r"[A-Za-z_]\w+", source.text)) - {name}
    return bool(import_statements(name)) or not difflib.get_close_matches(name, words, n=1)


def place_of_imports(source: SourceFile) -> Function | None:
    """The last import of a module's top, to put others below; else its first statement.

    None for a file that does not parse, is empty, or begins with something long.
    """
    try:
        body = parse(source.text).body
    except SyntaxError:
        return None
    top = list(itertools.takewhile(is_above_imports, body))
    imports = [node for node in top if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in (*imports[-1:], *body[len(top) :], *top):
        last = node.end_lineno or node.lineno
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        return Function(IMPORT, first, last) if last - first < _MOST_LINES else None
    return None


def imports_elsewhere(
    names: Collection[str], root: Path, file: Path
) -> Mapping[str, Sequence[str]]:
    """The statements with which other files of a project import names, or could import them.

    The most frequent first. `file` is the one that wants them: it does not count.
    """
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for path in itertools.islice(python_files(root), _MOST_FILES) if names else ():
        if path == file:
            continue
        try:
            text = read_text_bounded(path, errors="replace")
        except OSError:  # gone, or too large
            continue
        if any(name in text for name in names):
            for name, statement in _imports(text, path, root):
                if name in found:
                    found[name][statement] = found[name].get(statement, 0) + 1
    return {
        name: tuple(sorted(counts, key=lambda statement: -counts[statement]))
        for name, counts in found.items()
    }


def _imports(text: str, path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Names that a file imports or defines, and the statement that brings each in elsewhere."""
    try:
        body = parse(text).body
    except SyntaxError:
        return
    for node in body:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    name = alias.asname or alias.name.partition(".")[0]
                    yield name, f"import {ast.unparse(alias)}"
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                for alias in aliases:
                    yield alias.asname or alias.name, f"from {module} import {ast.unparse(alias)}"
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, f"from {_module(path, root)} import {name}"
            case _:
                pass


def _module(path: Path, root: Path) -> str:
    """How a file of the project is imported: from its outermost package, or its folder."""
    parts = [] if path.stem == "__init__" else [path.stem]
    for folder in path.parents:
        if folder == root or not (folder / "__init__.py").is_file():
            break
        parts.append(folder.name)
    return ".".join(reversed(parts)) or path.stem
