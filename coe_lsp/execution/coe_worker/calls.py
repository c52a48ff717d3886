"""Tries each call that tests make of a function with other arguments, to see what it would do.

`observed` is put before the function as a decorator. Each call from outside is made several times
in forks of the process: as it is, and with one argument a little different. What comes of it goes
to the standard output, a line each (see `report`); then the call itself goes on. What a fork does
to a file or a connection is done, so calls that are given one are not tried. All of it takes a few
calls and little more than `_MOST_SECONDS`. Where processes cannot be forked, or the function is
asynchronous or a generator, nothing is observed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import json
import os
import re
import select
import signal
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

from .messages import OBSERVED

_MOST_CALLS, _MOST_CALLS_A_TEST, _MOST_VARIANTS = 16, 5, 8
_MOST_SECONDS, _CALL_SECONDS = 1.0, 0.3
_LONGEST, _LONGEST_ARGUMENT, _MOST_ITEMS = 300, 40, 100
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_NO_END = "no end"

Call = Tuple[Tuple[Any, ...], Dict[str, Any]]


class _Observation:
    """What is left to observe in this process."""

    def __init__(self) -> None:
        self.calls_in: Dict[str, int] = {}
        self.seconds = 0.0
        self.inside = False

    def wants(self, test: str) -> bool:
        calls = self.calls_in
        enough = calls.get(test, 0) >= _MOST_CALLS_A_TEST if test else False
        late = self.seconds >= _MOST_SECONDS or sum(calls.values()) >= _MOST_CALLS
        return not (self.inside or enough or late)


_now = _Observation()
_output = os.dup(1)  # a test that captures what it prints does not capture this


def observed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose calls are observed from now on."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    if any(is_one(function) for is_one in kinds) or not hasattr(os, "fork"):
        return function

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if _now.inside:
            return function(*args, **kwargs)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        if _now.wants(test):
            _now.calls_in[test] = _now.calls_in.get(test, 0) + 1
            with contextlib.suppress(OSError):  # no more processes
                _try_variants(function, (args, kwargs))
        _now.inside = True
        try:
            return function(*args, **kwargs)
        finally:
            _now.inside = False

    return watched


def _try_variants(function: Callable[..., Any], call: Call) -> None:
    if any(hasattr(value, "fileno") for value in (*call[0], *call[1].values())):
        return
    for args, kwargs in itertools.islice(_calls_like(call), _MOST_VARIANTS):
        if _now.seconds >= _MOST_SECONDS:
            return
        began = time.monotonic()
        label, whole = _label(function, args, kwargs)
        report(label, whole, _answer_of_fork(function, args, kwargs))
        _now.seconds += time.monotonic() - began


def report(label: str, whole: bool, answer: str) -> None:
    """Tell what came of a call; `whole`: the label says all that the function was given."""
    line = OBSERVED + json.dumps([label, whole, answer]) + "\n"
    os.write(_output, line.encode("ascii"))


# -- one call, in a process of its own


def _answer_of_fork(function: Callable[..., Any], args: Any, kwargs: Any) -> str:
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if pid == 0:
        try:
            os.close(reading)
            _now.inside = True
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            answer = _answer(function, args, kwargs)
            os.write(writing, answer.encode("utf-8", "backslashreplace"))
        finally:
            os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], _CALL_SECONDS)
        data = os.read(reading, 8 * _LONGEST) if ready else _NO_END.encode()
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return data.decode("utf-8", "replace")


def _answer(function: Callable[..., Any], args: Any, kwargs: Any) -> str:
    """What the function returns or raises, and what it makes of its arguments, as text."""
    code = function.__code__
    names = code.co_varnames[: min(len(args), code.co_argcount)]
    given = {**dict(zip(names, args)), **kwargs}
    before = {name: shown(value) for name, value in given.items()}
    try:
        value = function(*args, **kwargs)
        if hasattr(value, "__next__"):
            answer = shown(list[Any](itertools.islice(value, _MOST_ITEMS)))
        else:
            answer = shown(value)
    except BaseException as error:  # code under test may raise anything, SystemExit included
        answer = type(error).__name__
    after = {name: shown(value) for name, value in given.items()}
    changes = [f"{name} = {text}" for name, text in after.items() if text != before[name]]
    said = changes if answer == "None" and changes else [answer, *changes]
    return ", ".join(said)[:_LONGEST]


def shown(value: Any) -> str:
    """A value as text that is the same for equal values: attributes in place of an address."""
    try:
        text = repr(value)
        if _ADDRESS.search(text) and _kind(value).__repr__ is object.__repr__:
            attributes: Dict[str, Any] = getattr(value, "__dict__", {})
            inside = ", ".join(f"{name}={item!r}" for name, item in attributes.items())
            text = f"{type(value).__name__}({inside})"
    except Exception:
        text = f"<{type(value).__name__}>"
    return _ADDRESS.sub("", text)[:_LONGEST]


def _kind(value: object) -> Any:
    return type(value)


def _label(function: Callable[..., Any], args: Any, kwargs: Any) -> Tuple[str, bool]:
    """A call as text, and whether that says all: `Cart.total(3)` does not say of which cart."""
    bound = args and function.__code__.co_varnames[:1] in (("self",), ("cls",))
    texts = [shown(value) for value in (args[1:] if bound else args)]
    texts += [f"{name}={shown(value)}" for name, value in kwargs.items()]
    whole = not bound and all(len(text) <= _LONGEST_ARGUMENT for text in texts)
    short = ", ".join(map(_short, texts))
    return f"{function.__qualname__.rpartition('<locals>.')[2]}({short})", whole


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_ARGUMENT else text[: _LONGEST_ARGUMENT - 3] + "..."


# -- other arguments


def _calls_like(call: Call) -> Iterator[Call]:
    """The call, then the same with one argument changed, the arguments in turns."""
    yield call
    args, kwargs = call
    changed = [_at(args, kwargs, place) for place in range(len(args))]
    changed += [_named(args, kwargs, name) for name in kwargs]
    for turn in itertools.zip_longest(*changed):
        yield from (other for other in turn if other is not None)


def _at(args: Tuple[Any, ...], kwargs: Dict[str, Any], place: int) -> Iterator[Call]:
    for new in variants(args[place]):
        yield (*args[:place], new, *args[place + 1 :]), kwargs


def _named(args: Tuple[Any, ...], kwargs: Dict[str, Any], name: str) -> Iterator[Call]:
    for new in variants(kwargs[name]):
        yield args, {**kwargs, name: new}


def variants(value: Any) -> Iterator[Any]:
    """Values of the same type that are a little different, the most usual ones first."""
    # For a class derived from one of these, such as an enumeration, other values mean nothing.
    kind = _kind(value)
    if kind is bool:
        yield not value
    elif kind is int:
        yield from (value + 1, value - 1, 0, 2 * value + 1, -value)
    elif kind is float:
        yield from (value + 1, value / 2, 0.0, -value)
    elif kind is str or kind is bytes:
        yield from (value[1:], value[:-1], value + value, value[:0], value[::-1], value.swapcase())
    elif kind is list:
        yield from _sequences(value)
    elif kind is tuple:
        yield from map(tuple, _sequences(list(value)))
    elif kind is dict:
        pairs = list(value.items())
        yield from (dict(pairs[1:]), dict(pairs[:-1]))
        for index, (key, item) in enumerate(pairs[:2]):
            for other in itertools.islice(variants(item), 2):
                yield dict([*pairs[:index], (key, other), *pairs[index + 1 :]])


def _sequences(items: List[Any]) -> Iterator[List[Any]]:
    yield from (items[1:], items[:-1], [], items[::-1], items + items[:1])
    for index, item in enumerate(items[:3]):
        for other in itertools.islice(variants(item), 2):
            yield [*items[:index], other, *items[index + 1 :]]
