"""`coe-lsp repair`: one repair, watched live or reported as JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from coe_lsp.cli.progress import BarProgress
from coe_lsp.cli.settings import settings_for
from coe_lsp.cli.view import RepairView, plain_console, show_outcome
from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_root
from coe_lsp.repair.loading import ModelOptions, check, head_start, llama_policy
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.repair import Repair, Request
from coe_lsp.repair.source import locate

_STATUS = {"repaired": 0, "already_passing": 0, "failed": 1, "error": 2}


def repair(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    path, _, function = options.target.partition("::")
    function = function.replace("::", ".") or None
    try:
        settings = settings_for(options, find_root(locate(Path(path))))
    except CoeError as error:
        if not options.json:
            raise
        print(json.dumps(Outcome("error", path, function, message=str(error)).to_json()))
        return _STATUS["error"]
    request = settings.request(Path(path), function)
    model = settings.model_options(options.seed)
    if options.json:
        return _as_json(request, model, options.apply)
    console = plain_console()
    check(model)
    outcome = watched(console, request, model)
    show_outcome(console, outcome)
    if options.apply and outcome.new_source is not None:
        write(request.path, outcome)
        console.print(f"{request.path} is changed.", markup=False)
    return _STATUS[outcome.status]


def watched(console: Console, request: Request, model: ModelOptions) -> Outcome:
    """Run a repair with its progress on the console."""
    with RepairView(console) as view, BarProgress(view.pause) as progress:
        return run(_repair(request, model, progress, view), progress)


def run(repair: Repair, progress: BarProgress) -> Outcome:
    """Run a repair that Ctrl-C ends in order, once everything that it started has ended."""

    def on_interrupt(number: int, frame: object) -> None:
        # An exception raised here would be lost in native code that calls back into Python.
        progress.interrupted = True
        repair.abandon()

    if threading.current_thread() is not threading.main_thread():
        return repair.run()
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        outcome = repair.run()
    finally:
        signal.signal(signal.SIGINT, before)
        if progress.interrupted:
            raise KeyboardInterrupt
    return outcome


def _repair(
    request: Request, model: ModelOptions, progress: BarProgress, view: RepairView
) -> Repair:
    if model.without_model:
        return Repair(request, None, view)
    return Repair(
        request, lambda: llama_policy(model, progress), view, head_start=head_start(model)
    )


def _as_json(request: Request, model: ModelOptions, apply: bool) -> int:
    quiet = RepairView(Console(stderr=True, quiet=True))
    try:
        check(model)
        with BarProgress() as progress:
            outcome = run(_repair(request, model, progress, quiet), progress)
        if apply and outcome.new_source is not None:
            write(request.path, outcome)
    except CoeError as error:
        outcome = Outcome("error", str(request.path), request.function, message=str(error))
    except KeyboardInterrupt:
        outcome = Outcome("error", str(request.path), request.function, message="Interrupted.")
        print(json.dumps(outcome.to_json()))
        raise
    print(json.dumps(outcome.to_json()))
    return _STATUS[outcome.status]


def write(path: Path, outcome: Outcome) -> None:
    """Write the repaired file, whole or not at all, keeping its mode.

    CoeError if that is impossible, or if the file is no longer the one that was repaired.
    """
    path = path.resolve()
    temporary = None
    data = outcome.new_source or b""
    try:
        if path.read_bytes() != outcome.old_source:
            raise CoeError(f"{path} has changed since it was read: nothing is written.")
        mode = path.stat().st_mode
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".coe-", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CoeError(f"{path} could not be written: {error.strerror}.") from error
