"""pytest's own way in: `pytest --coe` repairs what failed, `coe_hint = true` says how to.

Imports nothing of ours until it is used, since pytest loads it in every run of every project that
shares our environment. The repair has a process of its own: this one is the user's test run, with
whatever traces, patches and captures it.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_MOST = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our option and our setting."""
    group = parser.getgroup("coe")
    group.addoption(
        "--coe", action="store_true", help="repair what failed, at the end of the run, with CoE"
    )
    parser.addini("coe_hint", "say under each failure how to have it repaired", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where that is wanted."""
    if config.getini("coe_hint"):
        config.pluginmanager.register(_Hints(), "coe-hints")
    # Processes of pytest-xdist report to the one that started them.
    if config.getoption("coe") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Repairs(config), "coe-repairs")


class _Hints:
    """One line under each failure."""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        outcome = yield
        report = outcome.get_result()
        add = getattr(report.longrepr, "addsection", None)
        if report.failed and add is not None:
            add(f"coe-lsp repair {_typed(item.nodeid, item.config)}", "")


class _Repairs:
    """What failed, and its repair when all is over."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._root = config.rootpath
        self._failed: dict[str, None] = {}
        self._lacks_modules = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and report.nodeid:
            self._failed[report.nodeid] = None
            self._lacks_modules |= "ModuleNotFoundError" in report.longreprtext

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if not self._failed:
            return
        from coe_lsp.escaping import printable  # what is shown is anyone's

        terminalreporter.write_sep("=", "repair with CoE")
        if len(self._failed) > _MOST:
            terminalreporter.write_line(
                f"{len(self._failed)} tests failed: too many to be of one fault. Name some of them "
                "to `coe-lsp repair`."
            )
            return
        tests = [f"{self._root}/{test}" for test in self._failed]
        command = [sys.executable, "-P", "-m", "coe_lsp", "repair", "--python", sys.executable]
        process = subprocess.Popen(
            [*command, *tests],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            cwd=self._root,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                terminalreporter.write_line(printable(line.rstrip("\n")), **_markup(line))
            process.wait()
        except KeyboardInterrupt:
            # It was interrupted, too, and shows what it has.
            with contextlib.suppress(subprocess.TimeoutExpired):
                rest, _ = process.communicate(timeout=10)
                for line in (rest or "").splitlines():
                    terminalreporter.write_line(printable(line), **_markup(line))
            raise
        finally:
            process.kill()
        if process.returncode == 0:
            shown = " ".join(_typed(test, self._config) for test in self._failed)
            terminalreporter.write_line(f"To have it written: coe-lsp repair --apply {shown}")
        if self._lacks_modules:
            terminalreporter.write_line(
                "This run of pytest could not import all of its tests; the repair ran them with "
                "the project's folder on the import path. So does `python -m pytest`, or "
                '`pythonpath = ["."]` in pytest\'s settings.'
            )


def _typed(test: str, config: pytest.Config) -> str:
    """A test as it can be typed in a shell where pytest was started."""
    file, separator, rest = test.partition("::")
    path = config.rootpath / file
    with contextlib.suppress(ValueError):
        path = path.relative_to(config.invocation_params.dir)
    return shlex.quote(f"{path.as_posix()}{separator}{rest}")


def _markup(line: str) -> dict[str, bool]:
    """How a line of a diff looks."""
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return {colour: True} if colour else {}
