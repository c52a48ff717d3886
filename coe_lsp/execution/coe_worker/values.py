"""What a failing line had at hand: the variables of its function, and its object's attributes.

All as short texts, few of them. Nothing of the program runs for it: values of its own classes are
told by the name of the class, and what such a class says of itself is not asked. What cannot be
told so is left out.
"""

from __future__ import annotations

import itertools
from types import FrameType, GetSetDescriptorType, TracebackType
from typing import Any, Callable, Dict, Iterator, Optional, Tuple, cast

_MOST_VALUES, _MOST_ITEMS, _DEEPEST = 24, 4, 2
# Characters of a name and of one value, and of the text of a value with others in it.
_LONGEST, _LONGEST_TEXT = 40, 200
_MOST_BITS = 128
_OPTIMIZED = 1  # the code of functions: their variables have no mapping of the program's own
_BRACKETS: Dict[Any, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_name_of: Any = type.__dict__["__name__"]
_namespace_of: Any = type.__dict__["__dict__"]
_mro_of: Any = type.__dict__["__mro__"]


def values_at(
    trace: Optional[TracebackType], is_ours: Callable[[str], object]
) -> Tuple[Tuple[str, str], ...]:
    """The values of the innermost function in a traceback, by name, `self.x` among them.

    `is_ours` says of a file's name whether its functions count. Nothing is told of a module's own
    statements, nor of those of a class.
    """
    try:
        frames = [f for f in _frames(trace) if is_ours(f.f_code.co_filename)][-2:]
        found: Dict[str, Any] = {}
        # A comprehension sees what is around it.
        if len(frames) == 2 and frames[1].f_code in frames[0].f_code.co_consts:
            found.update(_variables(frames[0]))
        if frames:
            found.update(_variables(frames[-1]))
        attributes = itertools.islice(_attributes(found.get("self")), _MOST_VALUES)
        named = [*itertools.islice(found.items(), _MOST_VALUES), *attributes]
        return tuple((name, _as_text(value)[:_LONGEST_TEXT]) for name, value in named)
    except Exception:  # another thread changes what is read, or there is no memory left
        return ()


def _frames(trace: Optional[TracebackType]) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _variables(frame: FrameType) -> Iterator[Tuple[str, Any]]:
    if frame.f_code.co_flags & _OPTIMIZED:
        yield from _named(frame.f_locals.items())


def _attributes(owner: Any) -> Iterator[Tuple[str, Any]]:
    """What an object holds itself: no property is asked, not even one named `__dict__`."""
    for kind in _mro_of.__get__(type(owner)):
        held = _namespace_of.__get__(kind).get("__dict__")
        if type(held) is GetSetDescriptorType:
            for name, value in _named(held.__get__(owner).items()):
                yield f"self.{name}", value
            return


def _named(items: Any) -> Iterator[Tuple[str, Any]]:
    for name, value in list(items):
        if type(name) is str and len(name) <= _LONGEST and name.isidentifier():
            yield name, value


def _as_text(value: Any, depth: int = 0) -> str:
    """A value as short text; `<Name>` for one of another class than Python's usual ones."""
    kind = cast("Any", type(value))
    name = f"<{_name_of.__get__(kind)[:_LONGEST]}>"
    if kind is int:
        return repr(value) if value.bit_length() <= _MOST_BITS else name
    if value is None or kind in (bool, float, complex):
        return repr(value)
    if kind in (str, bytes):
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}..."
    if (kind is not dict and kind not in _BRACKETS) or (value and depth >= _DEEPEST):
        return name
    more = ", ..." if len(value) > _MOST_ITEMS else ""
    if kind is dict:
        pairs = itertools.islice(value.items(), _MOST_ITEMS)
        inside = ", ".join(f"{_as_text(k, depth + 1)}: {_as_text(v, depth + 1)}" for k, v in pairs)
        return f"{{{inside}{more}}}"
    inside = ", ".join(_as_text(item, depth + 1) for item in itertools.islice(value, _MOST_ITEMS))
    if kind in (set, frozenset) and not value:
        return "set()"
    first, last = _BRACKETS[kind]
    return f"{first}{inside}{',' if kind is tuple and len(value) == 1 else ''}{more}{last}"
