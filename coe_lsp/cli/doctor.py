"""`coe-lsp doctor`: checks what a repair needs and says what to do about what is amiss."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.text import Text

from coe_lsp import __version__
from coe_lsp.cli.view import plain_console
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root
from coe_lsp.execution.interpreter import Interpreter, find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.models.adapters import find_adapter
from coe_lsp.models.download import cached
from coe_lsp.models.registry import resolve

# Each of these must fail inside the sandbox; `assert` 1 must pass, or nothing runs at all.
_SELF_TEST = (
    "assert 1 + 1 == 2",
    "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
    "open(HOME + '/coe-lsp-self-test', 'w')",
    "open(SECRET).read()",
)


def doctor(python: str | None, model: str | None) -> int:
    """Run the checks; exit status 0 if a repair could run now, 1 if not."""
    console = plain_console()
    console.print(f"coe-lsp {__version__}, Python {sys.version.split()[0]}, {sys.platform}")
    checks: list[tuple[str, Callable[[], str]]] = [
        ("interpreter", lambda: _interpreter(python)),
        ("sandbox", lambda: _sandbox(python)),
        ("model", lambda: _model(model)),
        ("processor", _processor),
    ]
    good = True
    for name, check in checks:
        try:
            console.print(Text.assemble(("  ok   ", "green"), f"{name}: {check()}"))
        except (CoeError, OSError) as error:
            good = False
            console.print(Text.assemble(("  fail ", "bold red"), f"{name}: {error}"))
    return 0 if good else 1


def _found(python: str | None) -> Interpreter:
    return find_interpreter(find_root(Path.cwd() / "here.py"), python)


def _interpreter(python: str | None) -> str:
    interpreter = _found(python)
    version = ".".join(map(str, interpreter.version))
    if not interpreter.has_pytest:
        raise CoeError(
            f"{interpreter.executable} (Python {version}) has no pytest (unittest, doctest work). "
            "Install pytest there, or name another interpreter with --python."
        )
    return f"{interpreter.executable} (Python {version}, with pytest)"


def _sandbox(python: str | None) -> str:
    sandbox = find_sandbox("auto")
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.NamedTemporaryFile(dir=Path.home(), prefix=".coe-self-test-") as secret,
        socket.create_server(("127.0.0.1", 0)) as listener,  # there is somebody to be reached
    ):
        port = listener.getsockname()[1]
        setup = f"HOME, SECRET, PORT = {str(Path.home())!r}, {secret.name!r}, {port}"
        suite = Suite("asserts", Path(folder), None, setup=setup, statements=_SELF_TEST)
        with Worker(suite, _found(python), sandbox) as worker:
            outcomes = [result.outcome for result in worker.run(b"").results]
    expected = ["passed", "failed", "failed", "failed"]
    if outcomes != expected:
        raise CoeError(
            f"{sandbox.backend} runs, but does not isolate as it should (self-test: {outcomes}); "
            "do not run code that you do not trust, and report this."
        )
    return f"{sandbox.backend} ({sandbox.program}): no network, no writing, no reading of secrets"


def _model(name: str | None) -> str:
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
