"""Parsing from several threads, and the one kind of error."""

from __future__ import annotations

import configparser
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from coe_lsp.parsing import parse, parse_ini, parse_toml


@pytest.mark.parametrize(
    "source",
    [
        "def f(:",
        "x = '\0'",
        b"# coding: nonesuch\n",
        b"x = '\xff'\n",
        "(" * 500 + ")" * 500,
        "x = " + "-" * 100_000 + "1",
        "x = " + "1 + " * 20_000 + "1",
    ],
)
def test_whatever_does_not_parse_is_a_syntax_error(source: str | bytes) -> None:
    with pytest.raises(SyntaxError):
        parse(source)


def test_threads_parse_at_once() -> None:
    """Without the lock, CPython 3.11 raises SystemError here within a few hundred programs."""
    program = "\n".join(
        f"def f{n}(a, b):\n    return [(a + b) * {n} for _ in b]" for n in range(40)
    )
    switch, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10)
    gc.callbacks.append(_give_way)
    try:
        with ThreadPoolExecutor(4) as pool:
            trees = list(pool.map(parse, [program] * 120))
    finally:
        gc.callbacks.remove(_give_way)
        sys.setswitchinterval(switch)
        gc.set_threshold(*threshold)
    assert all(len(tree.body) == 40 for tree in trees)


def _give_way(phase: str, info: dict[str, int]) -> None:
    for _ in range(50):
        pass


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        (parse_toml, "a." * 50_000 + "a = 1"),
        (parse_toml, "x = " + "[" * 100_000),
        (parse_toml, "x = " + "1" * 200_000),
        (parse_ini, "[a]\nb" + " " * 50_000 + "c"),
        (parse_ini, "[a]\n" + "b\n" * 100_000),
        (parse_ini, "[a]\n" + "b\n" * 30_000),
    ],
)
@pytest.mark.timing
def test_settings_that_are_made_to_take_long_are_refused_at_once(parser, text: str) -> None:
    """They are read before anybody is asked whether the project is trusted."""
    started = time.monotonic()
    with pytest.raises((ValueError, configparser.Error)):
        parser(text)
    assert time.monotonic() - started < 2


def test_usual_settings_are_read() -> None:
    assert parse_toml("[tool.coe]\nbudget = 3\n") == {"tool": {"coe": {"budget": 3}}}
    parser = parse_ini("[tool:pytest]\ntestpaths =\n    one\n    two\n")
    assert parser.get("tool:pytest", "testpaths").split() == ["one", "two"]
