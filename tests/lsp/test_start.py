"""What the answer to `initialize` waits for: the protocol, and nothing that a repair needs."""

import json
import sys
from pathlib import Path

import pytest
from wire_client import Wire

# Each of them is a tenth of a second or more, or drags in what is.
HEAVY = (
    "coe_lsp.chain",
    "coe_lsp.engine",
    "coe_lsp.execution.interpreter",
    "coe_lsp.execution.runner",
    "coe_lsp.models",
    "coe_lsp.mutations",
    "coe_lsp.repair.repair",
    "coe_lsp.repair.search",
    "huggingface_hub",
    "llama_cpp",
    "numpy",
    "rich",
)
# Serves one client, and says what is imported when `initialize` has been answered.
SERVE = """
import json, sys
from coe_lsp.cli.main import main
from coe_lsp.lsp import protocol
answer = protocol.Protocol._send_response
def say(self, *given, **more):
    answer(self, *given, **more)
    print(json.dumps(sorted(sys.modules)), file=sys.stderr, flush=True)
protocol.Protocol._send_response = say
sys.argv = ["coe-lsp", "serve"]
main()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_heavy_modules_are_not_imported_before_the_answer(home):
    wire = Wire([sys.executable, "-c", SERVE])
    await wire.start()
    wire.send("initialize", {"capabilities": {}}, id=1)
    assert "result" in await wire.answer(1)
    imported = json.loads(await wire.process.stderr.readline())
    wire.send("exit")
    await wire.ended()
    assert "coe_lsp.lsp.server" in imported
    assert [name for name in imported if name.startswith(HEAVY)] == []


def test_what_the_server_imports_soon_is_there():
    from coe_lsp.lsp import server

    for name in server._NEEDED_SOON:
        path = Path(server.__file__).parents[2] / (name.replace(".", "/") + ".py")
        assert path.is_file()
