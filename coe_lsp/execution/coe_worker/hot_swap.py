"""Puts a candidate's function into a module that is already imported.

What a candidate changes is mostly the body of one function. If the rest of the file is the same,
and that function was not called while the module was imported and the tests were collected, giving
the live function objects the candidate's code does what a fresh import would do, many times faster;
only this function is compiled. Where this is not so `apply` says no and changes nothing; what it
cannot see (a library that keeps a copy of the code, say) makes a result wrong, so repairs are
verified by a fresh import.
"""

from __future__ import annotations
import __future__

import ast
import gc
import importlib.util
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType
from typing import Iterable, Iterator, List, Tuple, Union

from coe_worker.candidate import is_file, remember_lines

Definition = Union[ast.FunctionDef, ast.AsyncFunctionDef]
#: A function that is in no other one, and the statements around it, outermost first.
Function = Tuple[Definition, List[ast.stmt]]

_KIND_FLAGS = 0x20 | 0x80 | 0x200  # generator, coroutine, asynchronous generator


class HotSwap:
    """The functions of one imported module, by the place of their definition."""

    def __init__(self, path: str, source: bytes, ran: Iterable[int]) -> None:
        """`source` is what was imported; `ran` has the lines (1-based) that ran since then."""
        self._path = path
        self._ran = frozenset(ran)
        tree = ast.parse(source, filename=path)
        self._functions = list(_functions(tree.body, []))
        self._flags = _future_flags(tree)
        self._lines = _lines(source)
        self._live: dict[tuple[str, int], list[FunctionType]] = {}
        self._begun: set[tuple[str, int]] = set()  # generators have their code, though none ran
        for thing in gc.get_objects():
            code = _code_of(thing)
            if code is not None and is_file(code.co_filename, path):
                key = code.co_name, code.co_firstlineno
                if isinstance(thing, FunctionType):
                    self._live.setdefault(key, []).append(thing)
                else:
                    self._begun.add(key)

    def apply(self, source: bytes) -> bool:
        """Make the module behave as if it came from `source`; whether that was possible."""
        try:
            lines = _lines(source)
        except (SyntaxError, UnicodeDecodeError):
            return False
        if lines == self._lines:
            return True
        function = self._changed(lines)
        if function is None or not self._untouched(function[0]):
            return False
        more = len(lines) - len(self._lines)
        last = _last(function[0])
        code = self._compile(function, lines[: last + more])
        live = self._live.get(_place(function[0]), [])
        if code is None or not live or not all(_fits(one, code) for one in live):
            return False
        for one in live:
            one.__code__ = code
        if more:
            for (_, first), others in self._live.items():
                for one in others if first > last else ():
                    one.__code__ = _moved(one.__code__, more)
        remember_lines(self._path, source)
        return True

    def _changed(self, lines: list[str]) -> Function | None:
        """The function within which all changes are; None if there is none."""
        old = self._lines
        most = min(len(old), len(lines))
        first = next((n for n in range(most) if old[n] != lines[n]), most)
        most -= first
        same = next((n for n in range(most) if old[-1 - n] != lines[-1 - n]), most)
        end = len(old) - same
        for function in self._functions:
            # What is added below its last line may be a part of it.
            if _first(function[0]) - 1 <= first and max(first, end) <= _last(function[0]):
                return function
        return None

    def _compile(self, function: Function, lines: list[str]) -> CodeType | None:
        """The function's code as the text says which ends with it; None if its head has changed.

        Compiled alone, at its place, within classes of the same names.
        """
        old, around = function
        start = _first(old) - 1
        heads = _heads(around, self._lines)
        text = "\n".join(["" for _ in range(start - len(heads))] + heads + lines[start:]) + "\n"
        try:
            tree = ast.parse(text, filename=self._path)
            code = compile(tree, self._path, "exec", self._flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        body = tree.body
        for _ in heads:
            if len(body) != 1 or not isinstance(body[0], (ast.ClassDef, ast.If)):
                return None
            if isinstance(body[0], ast.If) and body[0].orelse:
                return None
            body = body[0].body
        if len(body) != 1 or not isinstance(body[0], type(old)) or _head(body[0]) != _head(old):
            return None
        codes = (one for one in _outermost(code) if one.co_firstlineno == _place(old)[1])
        return next((one for one in codes if one.co_name == old.name), None)

    def _untouched(self, function: Definition) -> bool:
        """Whether the function's body has not run since the import began, nor will as it was."""
        begins = function.body[0]
        first = min([begins.lineno, *(d.lineno for d in getattr(begins, "decorator_list", ()))])
        ran = not self._ran.isdisjoint(range(first, _last(function) + 1))
        return not ran and _place(function) not in self._begun


def _code_of(thing: object) -> CodeType | None:
    """What a function runs, or a generator or coroutine that was made by one."""
    if isinstance(thing, FunctionType):
        return thing.__code__
    if isinstance(thing, GeneratorType):
        return thing.gi_code
    if isinstance(thing, CoroutineType):
        return thing.cr_code
    return thing.ag_code if isinstance(thing, AsyncGeneratorType) else None


def _lines(source: bytes) -> list[str]:
    """The lines as the parser counts them."""
    return importlib.util.decode_source(source).split("\n")


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for name in node.names:
                flags |= getattr(__future__, name.name).compiler_flag
    return flags


def _functions(body: Iterable[ast.AST], around: list[ast.stmt]) -> Iterator[Function]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node, around
        elif not isinstance(node, ast.expr) and not getattr(node, "type_params", None):
            inside = [*around, node] if isinstance(node, ast.stmt) else around
            yield from _functions(ast.iter_child_nodes(node), inside)


def _heads(around: list[ast.stmt], lines: list[str]) -> list[str]:
    """A line for each block around a function, as far as it matters to what it is compiled to."""
    heads: list[str] = []
    columns: list[int] = []
    for node in around:
        if columns and node.col_offset <= columns[-1]:
            continue  # an `elif`
        indent = lines[node.lineno - 1][: node.col_offset]
        name = f"class {node.name}:" if isinstance(node, ast.ClassDef) else "if 1:"
        heads.append(indent + name)
        columns.append(node.col_offset)
    return heads


def _head(function: Definition) -> str:
    """All that is not the body's code."""
    fields = dict(ast.iter_fields(function))
    fields["body"] = []
    return f"{ast.dump(type(function)(**fields))} {ast.get_docstring(function, clean=False)!r}"


def _first(function: Definition) -> int:
    return min([function.lineno, *(node.lineno for node in function.decorator_list)])


def _last(function: Definition) -> int:
    return function.end_lineno or function.lineno


def _place(function: Definition) -> tuple[str, int]:
    """Name and first line as the function's code object has them: decorators count."""
    decorators = function.decorator_list
    return function.name, decorators[0].lineno if decorators else function.lineno


def _outermost(code: CodeType) -> Iterator[CodeType]:
    """Code of the functions of a module and of its classes, not of functions in functions."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # A function's local variables are optimised, a class body's are not.
            if constant.co_flags & 1:
                yield constant
            else:
                yield from _outermost(constant)


def _moved(code: CodeType, lines: int) -> CodeType:
    """The same so many lines further down."""
    consts = (_moved(c, lines) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=tuple(consts))


def _fits(function: FunctionType, code: CodeType) -> bool:
    old = function.__code__
    same_kind = old.co_flags & _KIND_FLAGS == code.co_flags & _KIND_FLAGS
    return same_kind and old.co_freevars == code.co_freevars
