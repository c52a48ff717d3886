"""Ctrl-C while a better repair is looked for shows the one that is there; a second one ends it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

import pty

# The repair of `fee` waits some seconds for one of `total`, which explains more and is hopeless.
PRICES = """
    def fee(price):
        return price - 2


    def total(prices):
        if not prices:
            return None
        whole = 0
        for price in prices:
            whole += fee(price)
        return whole
"""
TEST_PRICES = """
    import time
    from prices import total

    def test_total():
        assert total([3, 4]) == 11
        time.sleep(SECONDS)

    def test_a_wish():
        assert total([]) == {"wish": list("something else")}
"""
ASKED = b"looking for better (Ctrl-C shows this one)"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments, cwd):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "coe_lsp", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "200", "NO_COLOR": "1"},
        )  # fmt: skip
        os.close(theirs)
        self._seen = b""

    def read(self, until=None):
        """What it writes until that comes, or until its end; the exit status then."""
        while until is None or until not in self._seen:
            try:
                chunk = os.read(self._ours, 1 << 16)
            except OSError:  # Linux's way of saying that the other end is closed
                chunk = b""
            if not chunk:
                assert until is None, self.text
                os.close(self._ours)
                return self.process.wait(timeout=10)
            self._seen += chunk
        return None

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._seen.decode())


def started(write, *target, seconds=0):
    write("pyproject.toml", "")
    root = write("prices.py", PRICES).parent
    write("tests/test_prices.py", TEST_PRICES.replace("SECONDS", str(seconds)))
    terminal = Terminal("repair", *target, "--model", "none", "--budget", "60", cwd=root)
    terminal.read(until=ASKED)
    return terminal


def test_the_first_one_shows_the_repair(write):
    terminal = started(write, "prices.py")
    terminal.interrupt()
    began = time.monotonic()
    assert terminal.read() == 0, terminal.text
    assert time.monotonic() - began < 5
    assert "+    return price + 2" in terminal.text and "`fee` is repaired" in terminal.text
    assert "interrupted" not in terminal.text


def test_a_part_of_one_is_shown_as_well(write):
    terminal = started(write, "tests/test_prices.py")
    terminal.interrupt()
    assert terminal.read() == 1, terminal.text
    assert "+    return price + 2" in terminal.text
    assert "`fee` makes 1 of 2 tests pass" in terminal.text


def test_a_second_one_ends_it(write):
    """The first has the repair confirmed, which takes as long as its tests."""
    terminal = started(write, "prices.py", seconds=0.2)
    terminal.interrupt()
    time.sleep(0.1)
    terminal.interrupt()
    assert terminal.read() == 130, terminal.text
    assert "interrupted" in terminal.text and "is repaired" not in terminal.text


def test_where_there_is_none_the_first_one_ends_it(write):
    write("pyproject.toml", "")
    write("tests/test_prices.py", TEST_PRICES.replace("SECONDS", "0"))
    root = write(
        "prices.py", "def total(prices):\n    return hash(str(prices)) % 1_000_003\n"
    ).parent
    terminal = Terminal("repair", "prices.py", "--model", "none", "--budget", "60", cwd=root)
    terminal.read(until=b"edits tried")
    terminal.interrupt()
    assert terminal.read() == 130, terminal.text
    assert "interrupted" in terminal.text
