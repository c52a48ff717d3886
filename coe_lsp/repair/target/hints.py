"""What is known about where a function's mistake may be, and what its tests spell out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from coe_lsp.mutations.clues import NO_CLUES, BadCall, Clues
from coe_lsp.mutations.surroundings import NOTHING, Surroundings
from coe_lsp.parsing import parse
from coe_lsp.repair.target.importing import undefined_name

#: What tests raise themselves.
_OF_TESTS = frozenset({"AssertionError", "Failed"})
_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_VALUE = rf"(?:{_STRING}|-?\d+(?:\.\d+)?)"
_COMPARED = re.compile(rf"(?:^|assert |: )(?P<one>{_VALUE}) (?:==|!=) (?P<two>{_VALUE})(?=\s|$)")
_NOT_RAISED = re.compile(r"DID NOT RAISE <class '(?:\w+\.)*(\w+)'>|(\w+) not raised")
_BAD_CALL = r"TypeError: ((?:[\w.<>]+\.)?\w+)\(\) "
_UNEXPECTED = re.compile(rf"{_BAD_CALL}got an unexpected keyword argument '(\w+)'")
_LEFT_OUT = re.compile(rf"{_BAD_CALL}missing \d+ required [\w-]+ arguments?: (.+)")
_TOO_MANY = re.compile(
    rf"{_BAD_CALL}takes (?:from \d+ to )?(\d+) positional arguments? but (\d+) w"
)
_EMPTY = frozenset({"''", "b''", "[]", "()", "{}", "set()", "0", "0.0", "0j", "False"})
_RAISED = re.compile(r"(?:\w+\.)*([A-Z]\w+)(?=:|$)")


@frozen
class RepairHints:
    """What a search is told besides the function and its tests.

    `suspiciousness` has a score between 0 and 1 by line (1-based, of the function); `enclosing` is
    what the function can see beyond itself, and `clues` are what its tests say and spell.
    """

    suspiciousness: Mapping[int, float] = {}
    enclosing: Surroundings = NOTHING
    clues: Clues = NO_CLUES


def read_clues(
    details: Sequence[str],
    constants: Iterable[str] = (),
    values: Iterable[tuple[str, str]] = (),
) -> Clues:
    """The clues of failures, by the last line of each, and of literals in the tests.

    Names are undefined if all failures complain about such names, and it is nothing else. `values`
    are those at lines that failed, by name.
    """
    had = set(values)
    missing = [undefined_name(detail) for detail in details]
    names = frozenset(name for name in missing if name) if all(missing) else frozenset[str]()
    raised = [_RAISED.match(detail) for detail in details]
    exceptions = frozenset(match[1] for match in raised if match) - _OF_TESTS
    compared = [match for detail in details if (match := _COMPARED.search(detail))]
    pairs = [(_text(match["one"]), _text(match["two"])) for match in compared]
    silent = [match for detail in details if (match := _NOT_RAISED.search(detail))]
    return Clues(
        frozenset(constants),
        names,
        exceptions,
        tuple(dict.fromkeys(pairs)),
        frozenset(match[1] or match[2] for match in silent),
        tuple(dict.fromkeys(call for detail in details if (call := bad_call(detail)))),
        frozenset(name for name, value in had if value == "None"),
        frozenset(name for name, value in had if value in _EMPTY),
    )


def bad_call(detail: str) -> BadCall | None:
    """The call that a failure's last line says could not be made; None if it says another thing."""
    detail = detail.replace(".<locals>", "")
    if match := _UNEXPECTED.search(detail):
        return BadCall(match[1], unexpected=match[2])
    if match := _LEFT_OUT.search(detail):
        return BadCall(match[1], missing=tuple(re.findall(r"'(\w+)'", match[2])))
    if match := _TOO_MANY.search(detail):
        return BadCall(match[1], taken=int(match[2]), given=int(match[3]))
    return None


def _text(value: str) -> str:
    """A value of a message, as text; as it stands there if it was shortened."""
    try:
        return str(ast.literal_eval(value))
    except (SyntaxError, ValueError):
        return value


def literals(text: str) -> Iterator[str]:
    """All numbers and strings that a piece of code spells; none if it does not parse."""
    try:
        tree = parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            yield repr(value)
