"""The text of failing tests, with the values that they compare.

That is the test's function, the case of a parametrised one that fails, and the constants, fixtures
and set-up of its file (or of the `conftest.py` beside it) that it names. It only reads: what a
fixture or a case really gives is not known. A test that is not found is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from coe_lsp.execution.suite import Suite
from coe_lsp.files import read_text_bounded
from coe_lsp.parsing import parse
from coe_lsp.repair.context_pieces import Piece

_TEST, _VALUE, _FURTHER = 1, 6, 8
_TESTS, _CASES = 3, 3
_TEST_LINES, _FEWEST_LINES, _VALUE_LINES = 24, 10, 8
_LONGEST_LINE = 200
_SET_UP = ("setUp", "setup_method", "setup")
_WORD = re.compile(r"\w+")
_FOLD = "..."
_Kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Definition = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class _File:
    """A test file, read."""

    lines: tuple[str, ...] = ()
    body: tuple[ast.stmt, ...] = ()

    def text(self, node: ast.stmt, most: int) -> str:
        """The lines of a statement without its indentation, cut to so many."""
        some = [line for line in self.lines[node.lineno - 1 : node.end_lineno] if line.strip()]
        indent = some[0][: len(some[0]) - len(some[0].lstrip())]
        some = [line.removeprefix(indent)[:_LONGEST_LINE] for line in some]
        return "\n".join(some if len(some) <= most else [*some[:most], _FOLD])


@define
class TestReader:
    """Reads the tests of some suites; each file once."""

    __test__ = False  # pytest would take it for a class of tests
    suites: Sequence[Suite]
    _files: dict[Path, _File] = field(factory=dict[Path, _File], init=False)

    def pieces(self, tests: Sequence[str], words: set[str]) -> list[Piece]:
        """Those of the first few tests; of a long one what has one of the `words` in it first."""
        cases: dict[tuple[str, Path], list[str]] = {}
        for test in tests:
            plain, bracket, case = test.partition("[")
            root = self._root(test)
            if root is not None and (len(cases) < _TESTS or (plain, root) in cases):
                cases.setdefault((plain, root), []).extend([case[:-1]] if bracket else [])
        values: dict[str, Piece] = {}
        found: list[Piece] = []
        for (plain, root), names in cases.items():
            path, *parts = plain.split("::")
            file = self._file(root / path)
            around = _find(file.body, parts)
            if not around or not isinstance(around[-1], Definition):
                continue
            node = around[-1]
            given = [line for d in node.decorator_list for line in _case(file, d, names)]
            forms = ["\n".join([*given, text]) for text in _forms(file, node, words)]
            found.append(Piece(_FURTHER if found else _TEST, tuple(dict.fromkeys(forms))))
            used = set(_WORD.findall(forms[0]))
            for text in self._values(file, root / path, root, around, used):
                values.setdefault(text, Piece(_VALUE, (text,)))
        return [*values.values(), *found]

    def _root(self, test: str) -> Path | None:
        suites = (s for s in self.suites if s.kind in ("pytest", "unittest") and "::" in test)
        return next((suite.root for suite in suites), None)

    def _file(self, path: Path) -> _File:
        if path not in self._files:
            try:
                text = read_text_bounded(path)
                self._files[path] = _File(tuple(text.split("\n")), tuple(parse(text).body))
            except (OSError, SyntaxError, UnicodeDecodeError):  # or there is none
                self._files[path] = _File()
        return self._files[path]

    def _values(
        self, file: _File, path: Path, root: Path, around: Sequence[ast.stmt], used: set[str]
    ) -> Iterator[str]:
        """What the test names, and what that names: constants, functions and set-up."""
        for owner in around[:-1]:
            assert isinstance(owner, ast.ClassDef)
            for part in owner.body:
                if isinstance(part, Definition) and part.name in _SET_UP:
                    yield file.text(part, _VALUE_LINES)
        files = [file]
        folders = [folder for folder in path.parents if folder.is_relative_to(root)]
        files += [self._file(folder / "conftest.py") for folder in folders]
        shown: set[int] = set()
        for near in (*files[:1], *files):  # once more for what fixtures beside it name
            for part in near.body:
                if id(part) not in shown and part not in around and _defines(part) & used:
                    shown.add(id(part))
                    text = near.text(part, _VALUE_LINES)
                    used |= set(_WORD.findall(text))
                    yield text


def _find(body: Sequence[ast.stmt], names: Sequence[str]) -> list[ast.stmt]:
    """The classes around a test, and its function; empty if it is not there.

    Of several of one name the last, which is the one that runs.
    """
    found: list[ast.stmt] = []
    for name in names:
        named = (n for n in reversed(body) if isinstance(n, _Kinds) and n.name == name)
        node = next(named, None)
        if not isinstance(node, _Kinds):
            return []
        found.append(node)
        body = node.body
    return found


def _defines(node: ast.stmt) -> set[str]:
    """The names that a statement of a module gives something, but for imports and tests."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return set() if name.lower().startswith("test") else {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return set()


def _forms(file: _File, node: Definition, words: set[str]) -> Iterator[str]:
    """The test as long as it may be, and shorter: its first line and what compares or calls."""
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
    start = node.body[1].lineno if documented else first.lineno
    raw = [*file.lines[node.lineno - 1 : max(first.lineno - 1, node.lineno)]]
    raw += file.lines[max(start - 1, node.lineno + len(raw) - 1) : node.end_lineno]
    indent = raw[0][: len(raw[0]) - len(raw[0].lstrip())]
    lines = [line.removeprefix(indent)[:_LONGEST_LINE] for line in raw if line.strip()]

    def telling(number: int) -> tuple[int, int]:
        line = lines[number]
        asserts = "assert" in line or "raises" in line
        names = not words.isdisjoint(_WORD.findall(line))
        return -(2 * asserts + names) if number else -9, number

    order = sorted(range(len(lines)), key=telling)
    for most in (_TEST_LINES, _FEWEST_LINES):
        kept = sorted(order[:most])
        text = list[str]()
        for number, before in zip(kept, [-1, *kept], strict=False):
            if number != before + 1:
                text.append(_fold_between(text[-1], lines[number]))
            text.append(lines[number])
        yield "\n".join(text)
        if len(lines) <= most:
            return


def _fold_between(above: str, below: str) -> str:
    """The mark of a fold, so indented that it parses where the lines around it do."""
    deeper = 4 * above.rstrip().endswith(":")
    indents = (len(above) - len(above.lstrip()) + deeper, len(below) - len(below.lstrip()))
    return " " * max(indents) + _FOLD


def _case(file: _File, decorator: ast.expr, names: Sequence[str]) -> Iterator[str]:
    """A `parametrize` with those of its cases that have one of these names."""
    match decorator:
        case ast.Call(func=ast.Attribute(attr="parametrize"), args=[arguments, values, *_]):
            pass
        case _:
            return
    by_name = {name: n for node in file.body for name in _defines(node) for n in [node]}
    if isinstance(values, ast.Name):
        match by_name.get(values.id):
            case ast.Assign(value=value):
                values = value
            case _:
                return
    if not isinstance(values, (ast.List, ast.Tuple)):
        return
    given = _literal(arguments)
    parts: list[Any] = given.split(",") if isinstance(given, str) else list(given or ())
    spelled = [str(part).strip() for part in parts]
    ids = _ids(decorator, values.elts, spelled)
    wanted = [n for n, name in enumerate(ids) if any(_among(name, text) for text in names)]
    if not wanted:
        return
    cases = ", ".join(ast.unparse(values.elts[n])[:_LONGEST_LINE] for n in wanted[:_CASES])
    yield f"@pytest.mark.parametrize({ast.unparse(arguments)}, [{cases}])"


def _among(name: str, text: str) -> bool:
    """Whether one of the parts of a test's bracket, which "-" joins, is this name."""
    return text == name or f"-{name}-" in f"-{text}-"


def _ids(call: ast.Call, cases: Sequence[ast.expr], names: Sequence[str]) -> list[str]:
    """What pytest calls the cases, as far as that can be told."""
    said: Mapping[str, Any] = {k.arg: _literal(k.value) for k in call.keywords if k.arg}
    listed: Sequence[Any] = said.get("ids") or ()
    ids: list[str] = []
    for number, case in enumerate(cases):
        values = [case]
        if isinstance(case, ast.Call):  # pytest.param(..., id="name")
            own = next((_literal(k.value) for k in case.keywords if k.arg == "id"), None)
            if isinstance(own, str):
                ids.append(own)
                continue
            values = case.args
        elif len(names) > 1 and isinstance(case, (ast.Tuple, ast.List)):
            values = case.elts
        if number < len(listed):
            ids.append(str(listed[number]))
            continue
        ids.append("-".join(_id(v, n, number) for v, n in zip(values, names, strict=False)))
    return ids


def _id(value: ast.expr, name: str, number: int) -> str:
    found = _literal(value)
    if isinstance(found, str):
        return found.encode("unicode_escape").decode("ascii")
    if isinstance(found, int | float | complex) or ast.unparse(value) == "None":
        return str(found)
    return f"{name}{number}"


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
