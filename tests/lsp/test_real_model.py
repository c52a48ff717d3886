"""A full repair in the editor with real weights, where the small model can do it."""

import sys
import textwrap

import pytest
from editor_client import Editor

pytestmark = [pytest.mark.model, pytest.mark.slow]

# Nothing but one suspect line; what is wanted is a copy of what the task says.
NOISY = """
    def greet():
        return "helo"
"""
TEST_NOISY = """
    from noisy import greet

    def test_greet():
        assert greet() == "hello"
"""


async def test_a_repair_with_real_weights(small_model, write, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write("pyproject.toml", "")
    path = write("noisy.py", NOISY)
    write("tests/test_noisy.py", TEST_NOISY)
    editor = Editor([sys.executable, "-m", "coe_lsp", "serve"])
    editor.configuration = {"model": str(small_model), "budget": 120, "idleMinutes": 0.1}
    await editor.start(tmp_path)
    try:
        uri = editor.open(path)
        (diagnostic,) = await editor.diagnostics(uri)
        (action,) = await editor.actions(uri, diagnostic.range.start.line, [diagnostic])
        await editor.execute(action.command.command, *action.command.arguments)
        await editor.wait("apply", seconds=150)
        await editor.diagnostics(uri, lambda found: not found)
        assert editor.texts[uri] == textwrap.dedent(NOISY).lstrip().replace("helo", "hello")
    finally:
        await editor.stop()
