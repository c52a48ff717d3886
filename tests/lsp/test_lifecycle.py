"""The server's life: which messages are answered when, and that it ends at once, whatever runs."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time

import pytest
import pytest_asyncio
from processes import below, left
from wire_client import Wire

NO_CALL = {"capabilities": {}}
FORWARD = """
import os, socket, sys, threading, time
for _ in range(300):
    try:
        port = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        time.sleep(0.1)
def back():
    while data := port.recv(65536):
        os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    port.sendall(data)
"""


@pytest_asyncio.fixture
async def wire(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Wire([sys.executable, "-m", "coe_lsp", "serve"])
    await one.start()
    yield one
    if one.process.returncode is None:
        one.process.kill()
    await one.process.communicate()  # to the end, or its pipes outlive the event loop


@pytest.mark.parametrize(("shutdown", "status"), [(True, 0), (False, 1)])
async def test_exit_without_shutdown_is_an_error(wire, shutdown, status):
    await wire.initialize()
    if shutdown:
        wire.send("shutdown", id=1)
        assert (await wire.answer(1))["result"] is None
    wire.send("exit")
    assert (await wire.ended())[0] == status


async def test_exit_before_initialize(wire):
    wire.send("exit")
    assert (await wire.ended())[0] == 1


async def test_nothing_comes_before_initialize(wire):
    document = {"uri": "file:///x.py", "languageId": "python", "version": 1, "text": ""}
    wire.send("textDocument/didOpen", {"textDocument": document})
    where = {"textDocument": {"uri": "file:///x.py"}, "position": {"line": 0, "character": 0}}
    wire.send("textDocument/hover", where, id=1)
    assert (await wire.answer(1))["error"]["code"] == -32002
    assert "capabilities" in (await wire.initialize())["result"]
    wire.send("textDocument/hover", where, id=2)
    assert "error" not in await wire.answer(2)
    wire.send("initialize", NO_CALL, id=3)
    assert (await wire.answer(3))["error"]["code"] == -32600


async def test_nothing_but_exit_comes_after_shutdown(wire):
    await wire.initialize()
    wire.send("shutdown", id=1)
    await wire.answer(1)
    wire.send("coe/unknown", {}, id=2)
    assert (await wire.answer(2, seconds=5))["error"]["code"] == -32600
    wire.send("shutdown", id=3)
    assert (await wire.answer(3, seconds=5))["error"]["code"] == -32600
    wire.send("exit")
    assert (await wire.ended())[0] == 0


@pytest.mark.parametrize(
    ("body", "number", "code"),
    [
        (b"{oops", None, -32700),
        (b"[" * 200_000, None, -32700),
        (b"[]", None, -32600),
        (b'{"id": 7, "method": "shutdown"}', None, -32600),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "textDocument/hover", "params": 3}', 7, -32602),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "shutdown"}', None, -32600),
    ],
)
async def test_a_message_that_is_none_is_answered(wire, body, number, code):
    await wire.initialize()
    wire.send_bytes(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    answer = await wire.answer(number, seconds=5)
    assert answer["error"]["code"] == code
    wire.send("shutdown", id=1)
    assert (await wire.answer(1))["result"] is None


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"Content-Length: many\r\n\r\n{}", "Content-Length is 'many'"),
        (b"Content-Length: -5\r\n\r\n{}", "Content-Length is '-5'"),
        (b"Content-Length: 99999999999999\r\n\r\n{}", "the most is"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "a header line is longer"),
        (b"Content-Type: x\r\n\r\n{}", "no Content-Length"),
        (b'Content-Length: 9\r\n\r\n{"jsonrpc": "2.0", "secret": 1}\r\n', "there is no header"),
    ],
)
async def test_broken_framing_ends_the_server_with_a_reason(wire, tmp_path, sent, said):
    if b"many" not in sent:  # that one comes as the first message of all
        await wire.initialize()
    wire.send_bytes(sent)  # and standard input stays open
    status, errors = await wire.ended()
    assert status == 2
    assert said in errors and "secret" not in errors
    assert said in (tmp_path / "state/coe-lsp/log/server.log").read_text()


async def test_a_client_on_a_port_ends_the_server_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Wire([sys.executable, "-m", "coe_lsp", "serve", "--tcp", port])
    await server.start()
    client = Wire([sys.executable, "-c", FORWARD, port])  # standard input and output to the port
    await client.start()
    await client.initialize()
    client.send("shutdown", id=1)
    await client.answer(1)
    client.send("exit")
    assert (await server.ended())[0] == 0
    client.process.kill()
    await client.process.wait()


async def test_headers_may_be_spelt_differently(wire):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": NO_CALL})
    wire.send_bytes(b"content-type: x/y; charset=utf-8\r\nCONTENT-LENGTH:%d\r\n\r\n" % len(body))
    wire.send_bytes(body.encode())
    assert "result" in await wire.answer(1)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
async def test_a_signal_ends_an_idle_server(wire, name):
    await wire.initialize()
    number = getattr(signal, name)
    wire.process.send_signal(number)
    assert (await wire.ended(10))[0] == 128 + number


def test_a_signal_in_the_midst_of_starting_a_thread_ends_the_process():
    program = (
        "import threading, time\n"
        "from coe_lsp.lsp.ending import leave_at_last\n"
        "with threading._active_limbo_lock:\n"
        "    leave_at_last(143)\n"
        "    time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == 143


async def test_a_signal_ends_a_server_whose_client_does_not_read(wire):
    await wire.initialize()
    for number in range(3000):  # more answers than a pipe holds
        wire.send("coe/unknown" + "x" * 100, {}, id=number)
    await asyncio.sleep(1)
    wire.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):  # `wait` would wait for what nobody reads, too
        while wire.process.returncode is None:
            await asyncio.sleep(0.05)
    assert wire.process.returncode == 128 + signal.SIGTERM


# -- while something runs


@pytest.fixture
def busy(editor, script, clamp_project, write):
    """Start what takes for ever; returns once it is under way."""

    async def start(what):
        if what == "check":
            write(
                "tests/test_ranges.py", "import ranges, time\ndef test_a():\n    time.sleep(60)\n"
            )
        elif what == "collection":
            write("conftest.py", "import time\ntime.sleep(60)\n")
        elif what == "discovery":  # an interpreter that does not answer
            write(".venv/bin/python", "#!/bin/sh\nexec sleep 61\n").chmod(0o755)
        elif what == "loading":
            script(more={"loading": 60})
        else:
            script(delay=60)
        await editor.start(clamp_project)
        uri = editor.open(clamp_project / "ranges.py")
        await editor.wait("status", lambda s: s.state == "testing")
        if what in ("loading", "repair"):
            await editor.diagnostics(uri)
            await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
            state = {"loading": "loading", "repair": "repairing"}[what]
            await editor.wait("status", lambda s: s.state == state)
        await asyncio.sleep(1.0)
        return editor.lsp._server

    return start


WORK = ["check", "collection", "discovery", "loading", "repair"]


@pytest.mark.parametrize("what", WORK)
@pytest.mark.timing
async def test_shutdown_and_exit_end_the_server_whatever_runs(editor, busy, what):
    server = await busy(what)
    children = below(server.pid)
    started = time.monotonic()
    await editor.stop()
    assert time.monotonic() - started < 5
    assert server.returncode == 0
    assert left(children) == []


@pytest.mark.parametrize("what", ["check", "loading"])
@pytest.mark.timing
async def test_a_signal_ends_the_server_whatever_runs(editor, busy, what):
    server = await busy(what)
    children = below(server.pid)
    assert children
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    await asyncio.wait_for(server.wait(), 10)
    assert time.monotonic() - started < 5
    assert server.returncode == 128 + signal.SIGTERM
    assert left(children) == []
