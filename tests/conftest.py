"""Shared fixtures: a project on disk, the sandbox, and the small model's real weights."""

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest
from samples import CLAMP, TEST_CLAMP

from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """What bounds a time is not run beside other tests, which take the machine's time; and says so."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        for item in items:
            if item.get_closest_marker("timing"):
                item.add_marker(pytest.mark.skip(reason="bounds a time: pytest -m timing"))


@pytest.fixture
def write(tmp_path):
    """Write a dedented file below the test's own folder; returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def clamp_project(tmp_path, write):
    """A module with one bug and its three tests; returns the project's folder."""
    write("pyproject.toml", "")
    write("ranges.py", CLAMP)
    write("tests/test_ranges.py", TEST_CLAMP)
    return tmp_path


@pytest.fixture(scope="session")
def interpreter(sandbox):
    return probe(Path(sys.executable), Path("/nowhere"), sandbox)


@pytest.fixture(scope="session")
def sandbox():
    return find_sandbox("auto")


@pytest.fixture(scope="session")
def small_model() -> Path:
    """The smallest real model, fetched once into the user's cache like any other."""
    if given := os.environ.get("COE_TEST_SMALL_MODEL"):
        return Path(given)
    from coe_lsp.models.download import ensure
    from coe_lsp.models.registry import resolve

    return ensure(resolve("smollm2-135m"))
