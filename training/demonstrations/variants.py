"""The forms in which one task is shown, drawn anew for every trace.

With or without docstring and comments, with imports above the function or outside it, tested by
plain statements or by pytest. A function of a project stays where it is: only its docstring and
comments may go.
"""

from __future__ import annotations

import ast
from random import Random

from attrs import evolve, frozen

from coe_lsp.parsing import parse
from training.tasks.tasks import Task


@frozen
class Variant:
    """`documented`: with docstring and comments; `imports`: above the function."""

    documented: bool
    imports: bool
    as_pytest: bool


def draw_variant(task: Task, random: Random, *, without_docs: float, as_pytest: float) -> Variant:
    """One form; the same numbers are drawn for every task."""
    drawn = random.random(), random.random(), random.random()
    documented = drawn[0] >= without_docs
    if task.place is not None:
        return Variant(documented, True, False)
    return Variant(documented, drawn[1] < 0.5, drawn[2] < as_pytest)


def vary(task: Task, variant: Variant) -> Task:
    """The task in that form; `code` as well as `reference`."""
    if task.place is None:
        task = evolve(task, reference=_tidy(task.reference), code=task.code and _tidy(task.code))
    if not variant.documented:
        code = task.code and without_docs(task.code)
        task = evolve(task, reference=without_docs(task.reference), code=code)
    return task if variant.imports or task.code else _without_imports(task)


def without_docs(program: str) -> str:
    """Docstrings and lines that are comments taken out, if the program stays one."""
    drop: set[int] = set()
    try:
        tree = parse(program)
    except (SyntaxError, RecursionError):
        return program
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            drop.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    texts = {
        number
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr))
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }
    kept = [
        line
        for number, line in enumerate(program.split("\n"), 1)
        if number not in drop and (number in texts or not line.lstrip().startswith("#"))
    ]
    text = "\n".join(kept).strip("\n")
    try:
        parse(text)
    except SyntaxError:
        return program
    return text


def _tidy(program: str) -> str:
    lines = [line.rstrip() for line in program.replace("\r\n", "\n").strip("\n").split("\n")]
    return "\n".join(lines)


def _without_imports(task: Task) -> Task:
    """Imports at the top moved into the setup, as they are outside the function when serving."""
    body = parse(task.reference).body
    count = 0
    while count < len(body) and isinstance(body[count], (ast.Import, ast.ImportFrom)):
        count += 1
    if not count or count == len(body):
        return task
    lines = task.reference.split("\n")
    cut = body[count].lineno - 1
    decorators = getattr(body[count], "decorator_list", [])
    cut = min([cut, *(d.lineno - 1 for d in decorators)])
    head = "\n".join(line for line in lines[:cut] if line.strip())
    setup = f"{task.setup}\n{head}".strip("\n")
    return evolve(task, setup=setup, reference="\n".join(lines[cut:]))
