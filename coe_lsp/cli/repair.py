"""`coe-lsp repair`: one repair, watched live or reported as JSON."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence

from attrs import evolve
from rich.console import Console

from coe_lsp.cli import interrupts
from coe_lsp.cli.progress import BarProgress
from coe_lsp.cli.settings import way_and_settings
from coe_lsp.cli.view import RepairView, plain_console, show_outcome
from coe_lsp.errors import CoeError
from coe_lsp.files import check_replaceable, replace_file
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.policy.loading import ModelOptions, check, head_start, llama_policy
from coe_lsp.repair.policy.second import rewriter, second_model
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.source import SourceFile

_STATUS = {"repaired": 0, "already_passing": 0, "failed": 1, "error": 2}


def repair(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises CoeError and Interrupted whether or not JSON is wanted; that is main's affair.
    """
    way, settings = way_and_settings(options)
    if options.apply and way.path is not None:
        check_replaceable(way.path)  # rather now than after a minute's work
    request = settings.request(way)
    model = settings.model_options(options.seed)
    interrupts.check()
    check(model)
    console = Console(quiet=True) if options.json else plain_console()
    # Whoever stops a program, or would have files written, does not mean "take this one".
    settles = not options.json and not options.apply
    outcome = watched(console, request, model, settles=settles)
    # Changes that are not committed are nowhere else.
    apply = options.apply and outcome.patches and not outcome.patches[0].takes_back
    if apply:
        interrupts.check()
    if not options.json:
        show_outcome(console, outcome)
    if options.apply and outcome.patches and not apply:
        console.print("Nothing is written: it would be lost. Take the change back yourself.")
    if apply:
        try:
            write(outcome)
        except CoeError as error:
            if not options.json:
                raise
            # What was found is told all the same.
            outcome = evolve(outcome, status="error", message=str(error))
        else:
            for source in outcome.repaired.values():
                console.print(f"{source.path} is changed.", markup=False)
    if options.json:
        print_json(outcome)
    return _STATUS[outcome.status]


def split_target(targets: Sequence[str]) -> tuple[str, str | None]:
    """FILE and FUNCTION of the first `FILE::FUNCTION`, as the user typed them."""
    path, _, function = next(iter(targets), "").partition("::")
    return path, function.replace("::", ".") or None


def failure(path: str, function: str | None, message: str) -> Outcome:
    """What `--json` says where there is no outcome."""
    return Outcome("error", path, function, message=message)


def print_json(outcome: Outcome) -> None:
    """The one object that `--json` prints."""
    print(json.dumps(outcome.to_json()), flush=True)


def watched(console: Console, request: Request, model: ModelOptions, *, settles: bool) -> Outcome:
    """Run a repair with its progress on the console; `settles` as in `run`."""
    with (
        RepairView(console, settles=settles) as view,
        BarProgress(view.pause) as progress,
    ):
        return run(_repair(request, model, progress, view), progress, settles=settles)


def run(repair: Repair, progress: BarProgress, *, settles: bool = False) -> Outcome:
    """Run a repair that a signal ends in order, once everything that it started has ended.

    If it `settles`, the first Ctrl-C ends it with the repair that is there, or the part of one.
    Interrupted if that came to nothing.
    """
    settled = False

    def end() -> None:
        progress.interrupted = True
        repair.abandon()

    def settle() -> bool:
        nonlocal settled
        settled = repair.settle()
        return settled

    with interrupts.ending(end, settle if settles else None):
        outcome = repair.run()
    if settled and not outcome.patches and outcome.partly is None:
        raise interrupts.Interrupted(signal.SIGINT)
    return outcome


def _repair(
    request: Request, model: ModelOptions, progress: BarProgress, view: RepairView
) -> Repair:
    if model.without_model:
        return Repair(request, None, view)
    second = second_model(model)
    return Repair(
        request,
        lambda: llama_policy(model, progress),
        view,
        load_second=None if second is None else lambda: rewriter(second, model.seed),
        head_start=head_start(model),
    )


def write(outcome: Outcome) -> None:
    """Write the repaired files, each whole or not at all, with its owner, mode and attributes.

    CoeError if that is impossible, or if a file is no longer the one that was repaired; then none
    is changed.
    """
    written: list[tuple[SourceFile, SourceFile]] = []
    for name, new in outcome.repaired.items():
        old = outcome.sources[name]
        try:
            _replace(old, new)
        except (OSError, CoeError) as error:
            for before, after in reversed(written):
                _replace(after, before)
            if isinstance(error, OSError):
                raise CoeError(f"{old.path} could not be written: {error.strerror}.") from error
            raise
        written.append((old, new))


def _replace(old: SourceFile, new: SourceFile) -> None:
    replace_file(old.path, new.encode(new.lines), expected=old.encode(old.lines))
