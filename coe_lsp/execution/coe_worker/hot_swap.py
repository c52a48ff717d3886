"""Puts a candidate's functions into a module that is already imported.

What a candidate changes is mostly the body of one function. If the rest of the file is the same,
and that function was not called while the module was imported and the tests were collected, giving
the live function objects the candidate's code does what a fresh import would do, many times faster.
Where this is not so `apply` says no and changes nothing; what it cannot see (a library that keeps a
copy of the code, say) makes a result wrong, so repairs are verified by a fresh import.
"""

from __future__ import annotations

import ast
import gc
from types import CodeType, FunctionType
from typing import Iterable, Iterator, Union

from coe_worker.candidate import is_file, remember_lines

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]

_KIND_FLAGS = 0x20 | 0x80 | 0x200  # generator, coroutine, asynchronous generator


class HotSwap:
    """The functions of one imported module, by the place of their definition."""

    def __init__(self, path: str, source: bytes, ran: Iterable[int]) -> None:
        """`source` is what was imported; `ran` has the lines (1-based) that ran since then."""
        self._path = path
        self._ran = frozenset(ran)
        self._outline, self._functions = _outline(ast.parse(source, filename=path))
        self._lines = source.splitlines()
        self._live: dict[tuple[str, int], list[FunctionType]] = {}
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                code = thing.__code__
                if is_file(code.co_filename, path):
                    key = code.co_name, code.co_firstlineno
                    self._live.setdefault(key, []).append(thing)

    def apply(self, source: bytes) -> bool:
        """Make the module behave as if it came from `source`; whether that was possible."""
        try:
            tree = ast.parse(source, filename=self._path)
            code = compile(tree, self._path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        outline, functions = _outline(tree)
        if outline != self._outline:
            return False
        codes = {(c.co_name, c.co_firstlineno): c for c in _outermost(code)}
        lines = source.splitlines()
        todo: list[tuple[FunctionType, CodeType]] = []
        for old, new in zip(self._functions, functions):
            live = self._live.get(_place(old), [])
            fresh = codes.get(_place(new))
            if fresh is None or not all(_fits(function, fresh) for function in live):
                return False
            changed = _text(old, self._lines) != _text(new, lines)
            if changed and not (live and self._untouched(old)):
                return False
            todo += [(function, fresh) for function in live]
        for function, fresh in todo:  # all of them: lines may have moved
            function.__code__ = fresh
        remember_lines(self._path, source)
        return True

    def _untouched(self, function: Function) -> bool:
        """Whether the function's body has not run since the import began."""
        last = function.end_lineno or function.lineno
        return self._ran.isdisjoint(range(function.body[0].lineno, last + 1))


def _outline(tree: ast.Module) -> tuple[str, list[Function]]:
    """The module without the bodies of its outermost functions, and these functions in order."""
    functions: list[Function] = []

    class Emptied(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
            functions.append(node)
            fields = dict(ast.iter_fields(node))
            fields["body"] = [ast.Pass()]
            return type(node)(**fields)

        visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    return ast.dump(Emptied().visit(tree)), functions


def _text(function: Function, lines: list[bytes]) -> list[bytes]:
    return lines[function.lineno - 1 : function.end_lineno]


def _place(function: Function) -> tuple[str, int]:
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


def _fits(function: FunctionType, code: CodeType) -> bool:
    old = function.__code__
    same_kind = old.co_flags & _KIND_FLAGS == code.co_flags & _KIND_FLAGS
    return same_kind and old.co_freevars == code.co_freevars
