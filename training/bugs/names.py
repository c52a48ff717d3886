"""Tells faults from features, and both from versions that do not fit together. Pure.

A *feature* taken back makes tests fail because they use a name (a function, a parameter, an
attribute) that nothing defines any more. A change taken back alone is a *misfit* if the program
that is left uses a name that only one of the versions defines: nobody ever had that program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from coe_lsp.parsing import parse
from training.bugs.changes import Change

_WORD = re.compile(r"[A-Za-z_]\w*")


def judge_names(
    change: Change, before: Mapping[str, str], after: Mapping[str, str], tests: Iterable[str]
) -> Literal["fault", "feature", "misfit"]:
    """What a change taken back is. `before` and `after` are all source files; `tests` the texts
    of the tests that fail.
    """
    faulty = {**after, **change.files}
    then, now, left = defined_names(before), defined_names(after), defined_names(faulty)
    put_back = {
        word for path, text in change.files.items() for word in _words(text) - _words(after[path])
    }
    if put_back & (then - left):
        return "misfit"
    gone = now - left
    if gone and any(gone & _used_names(text) for text in faulty.values()):
        return "misfit"
    wanted = {word for text in tests for word in _words(text)}
    return "feature" if wanted & gone else "fault"


def defined_names(files: Mapping[str, str]) -> set[str]:
    """All names that some file binds: by def, class, import, assignment, parameter, attribute."""
    found: set[str] = set()
    for text in files.values():
        try:
            tree = parse(text)
        except (SyntaxError, RecursionError, ValueError):
            continue
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.ClassDef(name=name):
                    found.add(name)
                case ast.arg(arg=name):
                    found.add(name)
                case ast.alias(name=name, asname=other):
                    found.add(other or name.partition(".")[0])
                case ast.Name(id=name, ctx=ast.Store()):
                    found.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    found.add(name)
                case _:
                    pass
    return found


def _used_names(text: str) -> set[str]:
    """All names, attributes and keywords that a file uses."""
    try:
        tree = parse(text)
    except (SyntaxError, RecursionError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case _:
                pass
    return found


def _words(text: str) -> set[str]:
    """The identifiers of a text; strings and comments too, since names are used in them as well."""
    return set(_WORD.findall(text))
