"""Checks what a repair needs, and says what to do about what is amiss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from coe_lsp import __version__
from coe_lsp.cores import available_cores
from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import Sandbox, bubblewrap_version, find_sandbox
from coe_lsp.execution.self_test import PROMISES, broken_promises
from coe_lsp.models.adapters import find_adapter
from coe_lsp.models.download import cached
from coe_lsp.models.registry import resolve
from coe_lsp.repair.policy.loading import NO_MODEL, ModelOptions
from coe_lsp.repair.policy.second import tell_second


@frozen
class Check:
    """What was checked, whether it is as it should be, and what was found or is to be done.

    `more` is for whoever asks for all of it.
    """

    name: str
    good: bool
    text: str
    more: str = ""


def heading() -> str:
    """Versions, in one line."""
    return f"coe-lsp {__version__}, Python {sys.version.split()[0]}, {sys.platform}"


def examine(root: Path, python: str | None, options: ModelOptions) -> Iterator[Check]:
    """Check interpreter, sandbox, model and processor, for a project's folder."""
    checks: list[tuple[str, Callable[[], tuple[str, str]]]] = [
        ("interpreter", lambda: (_interpreter(root, python, find_sandbox()), "")),
        ("sandbox", lambda: _sandbox(root, python, find_sandbox())),
        ("model", lambda: (_model(options.model), tell_second(options))),
        ("processor", _processor),
    ]
    for name, check in checks:
        try:
            text, more = check()
        except (CoeError, OSError) as error:
            yield Check(name, False, str(error))
        else:
            yield Check(name, True, text, more)


def _interpreter(root: Path, python: str | None, sandbox: Sandbox) -> str:
    interpreter = find_interpreter(root, python, sandbox)
    version = ".".join(map(str, interpreter.version))
    if not interpreter.has_pytest:
        raise CoeError(
            f"{interpreter.executable} (Python {version}) has no pytest (unittest, doctest work). "
            "Install pytest there, or name another with --python (editors: coe.python)."
        )
    return f"{interpreter.executable} (Python {version}, with pytest)"


def _sandbox(root: Path, python: str | None, sandbox: Sandbox) -> tuple[str, str]:
    broken = broken_promises(find_interpreter(root, python, sandbox), sandbox)
    if broken:
        raise CoeError(
            f"{sandbox.backend} runs, but does not keep what it promises: "
            + "; ".join(promise.text for promise in broken)
            + ". Do not run code that you do not trust, and report this."
        )
    name = sandbox.backend
    if name == "bubblewrap":
        name += " " + ".".join(map(str, bubblewrap_version(sandbox.program)))
    kept = [p.text for p in PROMISES if sandbox.backend == "bubblewrap" or not p.linux]
    return f"{name} works", f"{sandbox.program}; tried out: {', '.join(kept)}"


def _model(name: str | None) -> str:
    if name == NO_MODEL:
        return "none, as asked for: mutations alone"
    ref = resolve(name)
    path = cached(ref)
    if path is None:
        raise CoeError(f"{ref.name} is not here yet: run coe-lsp models pull {ref.name}.")
    adapter = find_adapter(ref.base_key) if ref.base_key else None
    return f"{path} (adapter: {adapter.name if adapter else 'none'})"


def _processor() -> tuple[str, str]:
    try:
        from coe_lsp.engine.binding import lib
    except (ImportError, OSError, RuntimeError) as error:
        raise CoeError(f"llama-cpp-python does not load ({error}); install it again.") from error
    features = lib.llama_print_system_info().decode()
    used = [part.split("=")[0].strip() for part in features.split("|") if "= 1" in part]
    gpu = "on a GPU" if lib.llama_supports_gpu_offload() else "built for no GPU"
    return f"{available_cores()} cores; llama.cpp works, {gpu}", ", ".join(used)
