"""Tries out, on the machine at hand, what the sandbox promises: each try must fail inside it.

The tests in `tests/execution` attack harder and longer; this is what `coe-lsp doctor` can do in a
second or two on a user's machine, as that user.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.mounts import home_folders
from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker

_STATUS = "dict(line.split(':', 1) for line in open('/proc/self/status'))"


@frozen
class Promise:
    """What is promised, and Python code that raises if it is kept; `linux` ones need /proc."""

    text: str
    attempt: str
    linux: bool = False


PROMISES = (
    Promise("no network", "socket.create_connection(('127.0.0.1', PORT), 1)"),
    Promise("no writing to the project", "open(PROJECT + '/written', 'w')"),
    Promise("nothing of the home folder", "open(SECRET).read()"),
    Promise("no variables but the usual ones", f"os.environ[{'COE_SELF_TEST'!r}]"),
    Promise("no sockets of other programs", "socket.socket(socket.AF_UNIX).connect(SOCKET)"),
    Promise("a limit on memory", "bytearray(1 << 33)"),
    Promise("no other processes", "os.kill(PID, 0)", linux=True),
    Promise("no capabilities", f"assert int({_STATUS}['CapBnd'], 16)", linux=True),
    Promise(
        "a filter of system calls",
        f"assert {_STATUS}['Seccomp'].strip() != '2'",
        linux=True,
    ),
    Promise("no namespaces further in", "assert LIBC.unshare(0x10000000) == 0", linux=True),
    Promise("no way into the worker", "os.open('/proc/1/fd/1', os.O_WRONLY)", linux=True),
    Promise("no files in memory that nothing counts", "os.memfd_create('x')", linux=True),
)


def broken_promises(interpreter: Interpreter, sandbox: Sandbox) -> tuple[Promise, ...]:
    """What the sandbox does not keep here. Raises CoeError if nothing can be run in it at all."""
    promises = [p for p in PROMISES if sandbox.backend == "bubblewrap" or not p.linux]
    with _bait() as (project, names):
        setup = "import os, socket, ctypes\nLIBC = ctypes.CDLL(None)\n" + names
        statements = ("assert 1 + 1 == 2", *(promise.attempt for promise in promises))
        suite = Suite("asserts", project, None, setup=setup, statements=statements)
        with Worker(suite, interpreter, sandbox, Limits(test_seconds=5.0)) as worker:
            run = worker.run(b"")
    outcomes = [result.outcome for result in run.results]
    if len(outcomes) != len(statements) or outcomes[0] != "passed":
        raise CoeError(f"{sandbox.backend} does not run the self-test: {run.detail or outcomes}.")
    return tuple(
        p for p, outcome in zip(promises, outcomes[1:], strict=True) if outcome == "passed"
    )


@contextmanager
def _bait() -> Generator[tuple[Path, str]]:
    """A project, and what could be had outside if the sandbox let it: as Python assignments."""
    home = next(iter(home_folders()), None)
    os.environ["COE_SELF_TEST"] = "secret"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="coe-self-test-") as folder,
            tempfile.NamedTemporaryFile(dir=home, prefix=".coe-self-test-") as secret,
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.socket(socket.AF_UNIX) as local,
        ):
            local.bind(f"{folder}/socket")
            local.listen()
            values = {
                "PORT": listener.getsockname()[1],
                "PROJECT": folder,
                "SECRET": secret.name,
                "SOCKET": f"{folder}/socket",
                "PID": os.getpid(),
            }
            yield Path(folder), "\n".join(f"{name} = {value!r}" for name, value in values.items())
    finally:
        del os.environ["COE_SELF_TEST"]
