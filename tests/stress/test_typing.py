"""What a day of typing leaves in the server: nothing."""

import sys

import pytest
from stress_client import Server, figures

KEYS = 4000
# It was 1.8 kB a key. Memory is not given back to the byte.
MOST_LEFT = 4.0  # MB


def type_on(server, uri, version):
    """As many changes as that, all of them received; the version after them."""
    for _ in range(KEYS):
        version += 1
        document = {"uri": uri, "version": version}
        changes = [{"text": f"x = {version}\n"}]
        params = {"textDocument": document, "contentChanges": changes}
        server.notify("textDocument/didChange", params)
    server.request("textDocument/codeLens", {"textDocument": {"uri": uri}}, 60)
    return version


@pytest.mark.skipif(sys.platform != "linux", reason="figures are read from /proc")
def test_typing_leaves_nothing(tmp_path, write):
    write("pyproject.toml", "")
    uri = write("plain.py", "x = 0\n").as_uri()
    answers = {"workspace/configuration": [{"run": "off", "model": "none"}]}
    server = Server(
        tmp_path / "server",
        lambda message: {"result": answers.get(message["method"])},
        XDG_STATE_HOME=str(tmp_path / "state"),
    )
    try:
        server.initialize(tmp_path)
        item = {"uri": uri, "languageId": "python", "version": 0, "text": "x = 0\n"}
        server.notify("textDocument/didOpen", {"textDocument": item})
        version = type_on(server, uri, 0)
        before = figures(server.pid)["rss"]
        type_on(server, uri, version)
        left = figures(server.pid)["rss"] - before
        print(f"{1000 * left / KEYS:.2f} kB a key")
        assert left < MOST_LEFT
        assert server.stop() == 0
    finally:
        server.close()
