"""What a failing line had at hand: the variables of its function, and its object's attributes.

All as short texts. Nothing of the program runs for it: values of its own classes are told by the
name of the class.
"""

from __future__ import annotations

import itertools
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, cast

_MOST_VALUES, _MOST_ITEMS, _LONGEST, _DEEPEST = 24, 4, 40, 2
_PLAIN = (type(None), bool, int, float, complex)
_BRACKETS: Dict[Any, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}


def values_at(
    trace: Optional[TracebackType], is_ours: Callable[[str], object]
) -> Tuple[Tuple[str, str], ...]:
    """The values of the innermost function in a traceback, by name, `self.x` among them.

    `is_ours` says of a file's name whether its functions count. Nothing is told of a module's own
    statements.
    """
    frames = [f for f in _frames(trace) if is_ours(f.f_code.co_filename)]
    found: Dict[str, Any] = {}
    # A comprehension, or a lambda, sees what is around it.
    for frame in frames[-2:]:
        name = frame.f_code.co_name
        if name != "<module>" and (frame is frames[-1] or frames[-1].f_code.co_name[0] == "<"):
            found.update(frame.f_locals)
    named = itertools.chain(found.items(), _attributes(found.get("self")))
    kept = ((name, value) for name, value in named if name.replace(".", "_").isidentifier())
    return tuple((name, shown(value)) for name, value in itertools.islice(kept, _MOST_VALUES))


def _frames(trace: Optional[TracebackType]) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _attributes(owner: Any) -> Iterator[Tuple[str, Any]]:
    """What an object holds itself: no property is asked."""
    try:
        held: Any = object.__getattribute__(owner, "__dict__")
    except AttributeError:  # it has slots
        return
    kind = cast("Any", type(held))
    for name, value in list(held.items()) if kind is dict else ():
        if isinstance(name, str):
            yield f"self.{name}", value


def shown(value: Any, depth: int = 0) -> str:
    """A value as short text; `<Name>` for one of another class than Python's usual ones."""
    kind = cast("Any", type(value))
    if kind in _PLAIN:
        try:
            text = repr(value)
        except ValueError:  # an integer with thousands of digits
            return "<int>"
        return text if len(text) <= _LONGEST else f"<{kind.__name__}>"
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}..."
    if kind is dict or kind in _BRACKETS:
        if depth >= _DEEPEST and value:
            return f"<{kind.__name__}>"
        more = [", ..."] if len(value) > _MOST_ITEMS else []
        if kind is dict:
            inside = [f"{shown(k, depth + 1)}: {shown(v, depth + 1)}" for k, v in _some(value)]
            return "{" + ", ".join(inside) + "".join(more) + "}"
        inside = [shown(item, depth + 1) for item in itertools.islice(value, _MOST_ITEMS)]
        first, last = _BRACKETS[kind]
        text = ", ".join(inside) + "".join(more)
        if kind is tuple and len(value) == 1:
            text += ","
        return f"{first}{text}{last}" if value or kind in (list, tuple) else f"{kind.__name__}()"
    return f"<{kind.__name__}>"


def _some(value: Mapping[Any, Any]) -> Iterator[Tuple[Any, Any]]:
    return itertools.islice(value.items(), _MOST_ITEMS)
