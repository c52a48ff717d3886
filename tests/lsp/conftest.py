"""An editor with the real server process, and a script for the model."""

import json
import sys
from pathlib import Path

import pytest
import pytest_asyncio
from editor_client import Editor

SCRIPTED = Path(__file__).with_name("scripted_server.py")


@pytest.fixture
def script(tmp_path):
    """What the model will say; write it before the editor starts."""
    path = tmp_path / "script.json"

    def write(delay=0.0, more=None, **commands):
        path.write_text(json.dumps({"commands": commands, "delay": delay, **(more or {})}))
        return path

    write(clamp=["### REPL 5 >>>        return high"])
    write.path = path
    return write


@pytest_asyncio.fixture
async def editor(script, tmp_path, monkeypatch):
    """An editor whose server has the script for a model."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Editor([sys.executable, SCRIPTED, script.path])
    yield one
    await one.stop()


@pytest_asyncio.fixture
async def plain_editor(tmp_path, monkeypatch):
    """An editor with the server as it is installed, an empty cache, and no way to fetch a model."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    one = Editor([sys.executable, "-m", "coe_lsp", "serve"])
    yield one
    await one.stop()
