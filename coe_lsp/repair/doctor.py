"""Checks what a repair needs, and says what to do about what is amiss."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from coe_lsp import __version__
from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.models.adapters import find_adapter
from coe_lsp.models.download import cached
from coe_lsp.models.registry import resolve
from coe_lsp.repair.loading import NO_MODEL

# Each of these must fail inside the sandbox; `assert` 1 must pass, or nothing runs at all.
_SELF_TEST = (
    "assert 1 + 1 == 2",
    "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
    "open(HOME + '/coe-lsp-self-test', 'w')",
    "open(SECRET).read()",
)


@frozen
class Check:
    """What was checked, whether it is as it should be, and what was found or is to be done."""

    name: str
    good: bool
    text: str


def heading() -> str:
    """Versions, in one line."""
    return f"coe-lsp {__version__}, Python {sys.version.split()[0]}, {sys.platform}"


def examine(root: Path, python: str | None, model: str | None) -> Iterator[Check]:
    """Check interpreter, sandbox, model and processor, for a project's folder."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("interpreter", lambda: _interpreter(root, python)),
        ("sandbox", lambda: _sandbox(root, python)),
        ("model", lambda: _model(model)),
        ("processor", _processor),
    ]
    for name, check in checks:
        try:
            yield Check(name, True, check())
        except (CoeError, OSError) as error:
            yield Check(name, False, str(error))


def _interpreter(root: Path, python: str | None) -> str:
    interpreter = find_interpreter(root, python)
    version = ".".join(map(str, interpreter.version))
    if not interpreter.has_pytest:
        raise CoeError(
            f"{interpreter.executable} (Python {version}) has no pytest (unittest, doctest work). "
            "Install pytest there, or name another with --python (editors: coe.python)."
        )
    return f"{interpreter.executable} (Python {version}, with pytest)"


def _sandbox(root: Path, python: str | None) -> str:
    sandbox = find_sandbox("auto")
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.NamedTemporaryFile(dir=Path.home(), prefix=".coe-self-test-") as secret,
        socket.create_server(("127.0.0.1", 0)) as listener,  # there is somebody to be reached
    ):
        port = listener.getsockname()[1]
        setup = f"HOME, SECRET, PORT = {str(Path.home())!r}, {secret.name!r}, {port}"
        suite = Suite("asserts", Path(folder), None, setup=setup, statements=_SELF_TEST)
        with Worker(suite, find_interpreter(root, python), sandbox) as worker:
            outcomes = [result.outcome for result in worker.run(b"").results]
    expected = ["passed", "failed", "failed", "failed"]
    if outcomes != expected:
        raise CoeError(
            f"{sandbox.backend} runs, but does not isolate as it should (self-test: {outcomes}); "
            "do not run code that you do not trust, and report this."
        )
    return f"{sandbox.backend} ({sandbox.program}): no network, no writing, no reading of secrets"


def _model(name: str | None) -> str:
    if name == NO_MODEL:
        return "none, as asked for: mutations alone"
    ref = resolve(name)
    path = cached(ref)
    if path is None:
        raise CoeError(f"{ref.name} is not here yet: run coe-lsp models pull {ref.name}.")
    adapter = find_adapter(ref.base_key) if ref.base_key else None
    return f"{path} (adapter: {adapter.name if adapter else 'none'})"


def _processor() -> str:
    try:
        from coe_lsp.models.binding import lib
    except (ImportError, OSError, RuntimeError) as error:
        raise CoeError(f"llama-cpp-python does not load ({error}); install it again.") from error
    features = lib.llama_print_system_info().decode()
    used = [part.split("=")[0].strip() for part in features.split("|") if "= 1" in part]
    return f"{os.cpu_count()} cores; llama.cpp with {', '.join(used)}"
