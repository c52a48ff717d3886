"""Runs plain statements, usually asserts, in the namespace of the program under repair.

With a path the program is the module of that file; without one it is the candidate text, executed
after `setup`. A failing comparison is reported with the values of both sides.
"""

from __future__ import annotations

import ast
import linecache
import reprlib
import sys
from typing import Any

from coe_worker.candidate import remember_lines
from coe_worker.child import PROGRAM, TestTimeout
from coe_worker.messages import SuiteSpec
from coe_worker.modules import import_file
from coe_worker.statements import needed

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 120
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = 20


def serve(suite: SuiteSpec, zygote: Any) -> None:
    """Build the namespace, then run each statement; ids are `assert 1`, `assert 2`, ...

    Of those that are not asked for the ones run that the others need, as part of them.
    """
    sys.path.insert(0, suite.root)
    child = zygote.park("bare")
    if child is None:
        return
    source = child.begin()
    ids = [f"assert {number}" for number in range(1, len(suite.statements) + 1)]
    chosen = [test for test in ids if child.select is None or test in child.select]
    child.collected(chosen)
    try:
        child.start("program")
        namespace = _namespace(suite, source)
        child.stop("program")
    except BaseException as error:  # the candidate may raise anything, SystemExit included
        child.stop("program")
        child.failed("program", error)
        return
    statements = suite.statements
    needs = needed(statements)
    ran_in: dict[int, str] = {}
    for test in chosen:
        place = ids.index(test)
        child.start(test)
        try:
            for earlier in needs[place]:
                if earlier not in ran_in:
                    ran_in[earlier] = test
                    _prepare(statements[earlier], namespace)
            ran_in[place] = test
            detail = _execute(statements[place], namespace)
        except BaseException as error:
            child.failed(test, error, _describe(statements[place], error))
        else:
            if detail is None:
                child.result(test, "passed")
            else:
                child.result(test, "failed", detail)
        child.stop(test, {ran_in[earlier] for earlier in needs[place] if earlier in ran_in})


def _prepare(statement: str, namespace: dict[str, Any]) -> None:
    """Run a statement that is not a test of this run; if it fails, others will tell."""
    try:
        exec(compile(statement, "<test>", "exec"), namespace)
    except Exception:
        pass


def _namespace(suite: SuiteSpec, source: bytes | None) -> dict[str, Any]:
    if suite.path:
        namespace = vars(import_file(suite.path))
    else:
        namespace = {"__name__": PROGRAM}
    if suite.setup:
        exec(compile(suite.setup, "<setup>", "exec"), namespace)
    if not suite.path:
        remember_lines(PROGRAM, source or b"")
        exec(compile(source or b"", PROGRAM, "exec"), namespace)
    return namespace


def _execute(statement: str, namespace: dict[str, Any]) -> str | None:
    """Run one statement; the explanation, as pytest has it, if it is an assert that fails."""
    linecache.cache["<test>"] = (len(statement), None, statement.splitlines(True), "<test>")
    tree = ast.parse(statement, "<test>")
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Assert):
        exec(compile(tree, "<test>", "exec"), namespace)
        return None
    # Evaluated piece by piece, so that a failure can tell what the sides were.
    exec(compile(ast.Module(tree.body[:-1], []), "<test>", "exec"), namespace)
    test = last.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = [test.left, test.comparators[0]]
    else:
        sides = [test]
    values = [eval(compile(ast.Expression(side), "<test>", "eval"), namespace) for side in sides]
    if len(sides) == 1:
        holds = values[0]
        shown = _repr.repr(values[0])
    else:
        assert isinstance(test, ast.Compare)
        names = [ast.Name(name, ast.Load()) for name in ("__coe_left", "__coe_right")]
        again = ast.fix_missing_locations(
            ast.Expression(ast.Compare(names[0], test.ops, [names[1]]))
        )
        holds = eval(
            compile(again, "<test>", "eval"), dict(zip(("__coe_left", "__coe_right"), values))
        )
        sign = ast.unparse(ast.Compare(ast.Name("a"), test.ops, [ast.Name("b")]))[2:-2]
        shown = f"{_repr.repr(values[0])} {sign} {_repr.repr(values[1])}"
    if holds:
        return None
    where = [
        f" +  where {_repr.repr(value)} = {ast.unparse(side)}"
        for side, value in zip(sides, values)
        if not _is_literal(side)
    ]
    return "\n".join([f"assert {shown}", *where])


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _describe(statement: str, error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TestTimeout):
        text = str(error)
    return f"{text}\n in {statement.strip()}"
