"""Reads the command line and calls the command; knows the exit statuses and how failures are told.

0 repaired, already passing or done; 1 not repaired; 2 bad input, refusal or a fault of our own; 130
interrupted by Ctrl-C, 143 by SIGTERM. With `--json` a failure is told by one object too.
"""

from __future__ import annotations

import argparse
import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from coe_lsp import __version__
from coe_lsp.cli import interrupts
from coe_lsp.errors import CoeError
from coe_lsp.escaping import printable

_REPAIR_HELP = """\
Repairs code so that failing tests pass, and shows the change as a diff. TARGET is a test file, a
pytest node id or a folder: the tests to make pass, wherever in the project the fault is. Or it is a
source file, or FILE::FUNCTION with a qualified name such as Warehouse.reserve: where the fault is.
Without it these are the tests that pytest saw fail last, or all that fail; there can be several of
one project. Tests are never changed.
Nothing is written unless --apply is given."""


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(
        prog="coe-lsp",
        description="Repairs a failing Python function on this machine, proved by its own tests.",
    )
    top.add_argument("--version", action="version", version=f"coe-lsp {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    repair = commands.add_parser(
        "repair", help="repair a failing function", description=_REPAIR_HELP
    )
    repair.add_argument("targets", metavar="TARGET", nargs="*")
    _add_test_options(repair)
    _add_model_options(repair)
    repair.add_argument("--apply", action="store_true", help="write the repaired file")
    repair.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )

    tests = commands.add_parser("tests", help="show what fails, and which places are suspect")
    tests.add_argument("targets", metavar="TARGET", nargs="*", help="as of repair")
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
    doctor.add_argument("-v", "--verbose", action="store_true", help="also what was tried out")

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
        type=_number_for("testTimeout"),
        metavar="SECONDS",
        help="what one test may take (5); a file's tests together get twelve times that",
    )
    command.add_argument(
        "--sandbox",
        choices=("auto", "off"),
        help="off runs the tests without isolation",
    )
    command.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable of yours that the tests need; may be repeated",
    )
    command.add_argument(
        "--show",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder outside the project that the tests may read; may be repeated",
    )


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", metavar="NAME|PATH|none", help="a name, a GGUF, REPO:FILE or none"
    )
    command.add_argument(
        "--adapter", metavar="PATH|none", help="a LoRA adapter; default: the one shipped, if any"
    )
    command.add_argument(
        "--second-model",
        metavar="NAME|PATH|none",
        help="a larger model that joins after ten seconds",
    )
    command.add_argument(
        "--budget",
        type=_number_for("budget"),
        metavar="SECONDS",
        help="time for the search (60)",
    )
    command.add_argument(
        "--samples", type=_number_for("samples"), metavar="N", help="commands at a time (16)"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N")


def _number_for(setting: str) -> Callable[[str], float]:
    """What an option takes that has the name and the bounds of a setting."""

    def convert(text: str) -> float:
        # Late: only where the option is given.
        from coe_lsp.settings import RULES

        (rule,) = (rule for _, rule, _ in RULES if rule.name == setting)
        try:
            value = int(text) if rule.kind == "integer" else float(text)
        except ValueError:
            value = float("nan")
        if not rule.fits(value):
            raise argparse.ArgumentTypeError(f"is {text}, but takes {rule.accepted}")
        return value

    return convert


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options: argparse.Namespace | None = None
    try:
        options = parser().parse_args(typed)
        status = _command(options)
        sys.stdout.flush()
        return status
    except _UsageError as error:
        return _failed(typed, options, 2, str(error), error.usage)
    except CoeError as error:
        return _failed(typed, options, 2, str(error))
    except KeyboardInterrupt as error:
        status = error.status if isinstance(error, interrupts.Interrupted) else 130
        return _failed(typed, options, status, "Interrupted.")
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except Exception as error:
        return _failed(typed, options, 2, _fault(error))


def _failed(
    typed: Sequence[str],
    options: argparse.Namespace | None,
    status: int,
    message: str,
    usage: str = "",
) -> int:
    """Tell of a failure in the way that was asked for; returns the status."""
    # argparse takes `--js` for `--json` as well.
    if any(len(word) > 2 and "--json".startswith(word) for word in typed):
        from coe_lsp.cli.repair import failure, print_json, split_target

        path, function = split_target(getattr(options, "targets", ()))
        print_json(failure(path, function, message))
    elif status > 128:
        print("interrupted", file=sys.stderr)
    else:
        # Late, like the commands: the language server starts without.
        from rich.text import Text

        from coe_lsp.cli.view import error_console

        print(usage, end="", file=sys.stderr)
        text = Text.assemble(("error:", "bold red"), f" {message}")
        error_console().print(text, soft_wrap=True)
    return status


def _fault(error: Exception) -> str:
    """What to say of an exception that nobody expected: enough to report it."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    what = "".join(traceback.format_exception_only(error)).strip()
    return f"This is a fault of coe-lsp, please report it: {what} ({where.filename}:{where.lineno})"


class _UsageError(Exception):
    """What was typed is not a command."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """Leaves it to us how mistakes are told."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(printable(message), self.format_usage())


def _command(options: argparse.Namespace) -> int:
    # Imported late: `--help` and `tests` should not pay for what only a repair needs.
    if options.command == "repair":
        from coe_lsp.cli.repair import repair

        return repair(options)
    if options.command == "tests":
        from coe_lsp.cli.tests import tests

        return tests(options)
    interrupts.release()
    if options.command == "models":
        from coe_lsp.cli.models import models

        return models(options.action, getattr(options, "model", None))
    if options.command == "doctor":
        from coe_lsp.cli.doctor import doctor

        return doctor(options)
    if options.command == "serve":
        gc.disable()  # the protocol's hundreds of classes are made, none of which is garbage
        from coe_lsp.lsp.serve import serve

        gc.freeze()
        gc.enable()
        return serve(options.tcp)
    from coe_lsp.cli.demo import demo

    return demo(options)
