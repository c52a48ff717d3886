"""Reads the command line and calls the command; knows the exit statuses and nothing else.

0 repaired, already passing or done; 1 not repaired; 2 bad input or refusal; 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from coe_lsp import __version__
from coe_lsp.errors import CoeError

_REPAIR_HELP = """\
Repairs one failing function of FILE and shows the change as a diff. FUNCTION is a qualified name
such as Warehouse.reserve; without it the most suspect function is taken. Nothing is written unless
--apply is given."""


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="coe-lsp",
        description="Repairs a failing Python function on this machine, proved by its own tests.",
    )
    top.add_argument("--version", action="version", version=f"coe-lsp {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    repair = commands.add_parser(
        "repair", help="repair a failing function", description=_REPAIR_HELP
    )
    repair.add_argument("target", metavar="FILE[::FUNCTION]")
    _add_test_options(repair)
    _add_model_options(repair)
    repair.add_argument("--apply", action="store_true", help="write the repaired file")
    repair.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )

    tests = commands.add_parser("tests", help="show which tests matter for a file and what fails")
    tests.add_argument("target", metavar="FILE")
    _add_test_options(tests)

    models = commands.add_parser("models", help="list, fetch and check model weights")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the known models and which are here")
    for name, text in (
        ("pull", "fetch a model into the cache"),
        ("verify", "compare a model's bytes with the known sum"),
        ("path", "print where a model's file is"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("model", nargs="?", metavar="MODEL", help="default: the default model")

    doctor = commands.add_parser("doctor", help="check what a repair needs on this machine")
    doctor.add_argument("--python", metavar="INTERPRETER")
    doctor.add_argument("--model", metavar="NAME|PATH|none")

    serve = commands.add_parser("serve", help="the language server, on standard input and output")
    serve.add_argument("--tcp", type=int, metavar="PORT", help="on a local port, for debugging")

    demo = commands.add_parser("demo", help="repair the example project's twelve bugs, live")
    _add_model_options(demo)
    demo.add_argument("--sandbox", choices=("auto", "off"))
    demo.add_argument("--only", metavar="WORD", help="only functions whose name contains WORD")
    return top


def _add_test_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--tests",
        action="append",
        default=[],
        metavar="NODE_OR_PATH",
        help="a test file, a pytest node id or an assert statement; may be repeated",
    )
    command.add_argument("--python", metavar="INTERPRETER", help="the Python that runs the tests")
    command.add_argument(
        "--test-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="what one test may take (5); a file's tests together get twelve times that",
    )
    command.add_argument(
        "--sandbox",
        choices=("auto", "off"),
        help="off runs the tests without isolation",
    )


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", metavar="NAME|PATH|none", help="a name, a GGUF, REPO:FILE or none"
    )
    command.add_argument(
        "--adapter", metavar="PATH|none", help="a LoRA adapter; default: the one shipped, if any"
    )
    command.add_argument(
        "--budget", type=_seconds, metavar="SECONDS", help="time for the search (60)"
    )
    command.add_argument("--samples", type=_samples, metavar="N", help="commands at a time (16)")
    command.add_argument("--seed", type=int, default=0, metavar="N")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _samples(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 0 < value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 64")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        # An orderly end, so that workers and their folders go with us.
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)
    try:
        return _command(options)
    except CoeError as error:
        # Late, like the commands: the language server starts without.
        from rich.console import Console
        from rich.text import Text

        text = Text.assemble(("error:", "bold red"), f" {error}")
        Console(stderr=True).print(text, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _command(options: argparse.Namespace) -> int:
    # Imported late: `--help` and `tests` should not pay for what only a repair needs.
    if options.command == "repair":
        from coe_lsp.cli.repair import repair

        return repair(options)
    if options.command == "tests":
        from coe_lsp.cli.tests import tests

        return tests(Path(options.target), options)
    if options.command == "models":
        from coe_lsp.cli.models import models

        return models(options.action, getattr(options, "model", None))
    if options.command == "doctor":
        from coe_lsp.cli.doctor import doctor

        return doctor(options)
    if options.command == "serve":
        from coe_lsp.lsp.serve import serve

        return serve(options.tcp)
    from coe_lsp.cli.demo import demo

    return demo(options)


def run() -> None:
    """The console script."""
    sys.exit(main())
