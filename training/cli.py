"""The command line of `python -m training`: what can be asked for, checked before any work starts.

What the commands do is in `__main__`; nothing heavy is imported here, so that help comes at once.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from training.evaluation.config import EvaluationConfig
from training.trackers import TRACKERS

CONFIGS = Path(__file__).parent / "configs"


def build_parser() -> argparse.ArgumentParser:
    """Of all commands; which one is in `command`."""
    whole = argparse.ArgumentParser(
        prog="python -m training", description="Run a whole pipeline, or one piece of it."
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, say: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=say, description=say)
        made.set_defaults(command=name)
        return made

    task_file = "a task file, optionally path#split"
    forever = float("inf")

    run = command("run", "all stages of a configuration; resumes")
    run.add_argument("--config", required=True, help=f"a TOML file, or one of {_names()}")
    run.add_argument("--minutes", type=float, default=forever, help="stop after that long")
    run.add_argument(
        "--tracker",
        action="append",
        choices=TRACKERS,
        default=[],
        help="show what is logged there as well (wandb sends it to its servers)",
    )
    run.add_argument("--project", help="in place of tasks.project of the configuration")
    run.add_argument("--history", help="in place of tasks.history of the configuration")
    run.add_argument("--out", help="in place of `out` of the configuration")

    tasks = command("tasks", "harvest tasks from a project or a package")
    where = tasks.add_mutually_exclusive_group(required=True)
    where.add_argument("--project", type=Path, help="a folder with code and passing tests")
    where.add_argument("--package", help="an installed package with doctests, where this runs")
    where.add_argument(
        "--history", type=Path, help="real bugs: what commits of a git repository mended"
    )
    where.add_argument("--releases", metavar="PACKAGE", help="real bugs: what its releases mended")
    where.add_argument(
        "--package-list", type=Path, help="real bugs of all packages of a TOML file, by split"
    )
    where.add_argument(
        "--bugs", help="a list of real bugs, optionally path#split, made into tasks again"
    )
    tasks.add_argument(
        "--functions",
        action="store_true",
        help="with --package-list: not bugs but covered functions, of each newest version",
    )
    tasks.add_argument("--split", help="with --package-list: only the packages of that split")
    tasks.add_argument("--python", help="runs the tests; else as for repairs")
    tasks.add_argument(
        "--max-lines", type=_count, default=40, help="longer functions are left out (%(default)s)"
    )
    tasks.add_argument(
        "--needs",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="with --releases: what the tests need besides; may be given several times",
    )
    tasks.add_argument("--clones", type=Path, help="the folder with clones of listed repositories")
    tasks.add_argument(
        "--most", type=_count, help="real bugs of a package or repository (9), or functions (80)"
    )
    tasks.add_argument(
        "--versions", type=_count, help="releases or commits to look at, newest first (14, 200)"
    )
    _sandbox(tasks)
    _target(
        tasks, "the task file to write; of --history, --releases, --package-list: a list of bugs"
    )

    sample = command("sample", "a fixed sample of a task file")
    sample.add_argument("--tasks", required=True, help=task_file)
    sample.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="only tasks with that; may be given several times",
    )
    sample.add_argument("--count", type=_count, help="how many; all if not given")
    sample.add_argument("--seed", type=int, default=0, help="which ones (%(default)s)")
    _target(sample, "the task file to write")

    show = command("show", "demonstrations as text to read, and what they are in numbers")
    show.add_argument("--records", type=Path, required=True, help="a file of demonstrations")
    show.add_argument("--count", type=int, default=10, help="how many to print (%(default)s)")
    show.add_argument("--seed", type=int, default=0, help="which ones (%(default)s)")
    show.add_argument("--measure", action="store_true", help="measure all of them")

    faulty = command("faulty", "programs that a model wrote wrong, as tasks; resumes")
    faulty.add_argument("--tasks", required=True, help=task_file)
    faulty.add_argument("--model", default="qwen2.5-coder-0.5b", help="what writes (%(default)s)")
    faulty.add_argument(
        "--each", type=_count, default=2, help="programs to write for each task (%(default)s)"
    )
    faulty.add_argument(
        "--keep", type=_count, default=1, help="faulty ones to keep of each task (%(default)s)"
    )
    faulty.add_argument(
        "--count", type=_count, default=100, help="tasks wanted in all (%(default)s)"
    )
    faulty.add_argument(
        "--seed", type=int, default=0, help="which tasks, and what is drawn (%(default)s)"
    )
    _sandbox(faulty)
    _target(faulty, "the task file to write")

    evaluate = command("evaluate", "measure a policy on a task file; resumes")
    evaluate.add_argument("--tasks", required=True, help=task_file)
    evaluate.add_argument(
        "--model", default="qwen2.5-coder-0.5b", help="a registry name or a GGUF (%(default)s)"
    )
    evaluate.add_argument("--adapter", type=Path, help="a GGUF adapter")
    _settings(evaluate, EvaluationConfig)
    evaluate.add_argument("--first", type=_count, help="only that many tasks")
    _sandbox(evaluate)
    _target(evaluate, "the JSON file to write")

    s1k = command("s1k", "the natural-language arm: SFT on s1K's traces; resumes")
    s1k.add_argument(
        "--traces", default="simplescaling/s1K", help="a hub repository or a file (%(default)s)"
    )
    s1k.add_argument("--config", required=True, help="model, sft and max_tokens are taken from it")
    s1k.add_argument("--minutes", type=float, default=forever, help="stop after that long")
    s1k.add_argument("--out", type=Path, required=True, help="a folder")

    prepare = command("prepare", "what a rented GPU needs, in pieces to carry there; resumes")
    prepare.add_argument("--config", required=True, help=f"a TOML file, or one of {_names()}")
    prepare.add_argument("--bundle", type=Path, required=True, help="a folder for it")
    prepare.add_argument(
        "--processes", type=_count, default=16, help="processors there (%(default)s)"
    )
    prepare.add_argument(
        "--piece-mib", type=_count, default=32, help="size of a piece, at most (%(default)s)"
    )
    prepare.add_argument("--minutes", type=float, default=forever, help="stop after that long")

    piece = command("slice", "one slice of a run on the rented machine; resumes")
    piece.add_argument("--pieces", type=Path, required=True, help="the folder of the pieces")
    piece.add_argument("--work", type=Path, required=True, help="a folder that stays there")
    piece.add_argument(
        "--minutes", type=float, default=9.0, help="stop after so long (%(default)s)"
    )
    piece.add_argument("--save", type=Path, help="a folder for what is to be carried back")
    piece.add_argument("--saved", type=Path, help="what another machine saved, to go on from")

    export = command("export", "an adapter folder to GGUF")
    export.add_argument("--adapter", type=Path, required=True, help="a stage's folder `adapter`")
    export.add_argument("--model", default="qwen2.5-coder-0.5b", help="its base (%(default)s)")
    export.add_argument("--merge", choices=["Q8_0", "Q4_K_M", "Q4_0", "F16"], help="a whole model")
    _target(export, "the GGUF to write")

    report = command("report", "a table and plots from evaluations")
    report.add_argument("results", type=Path, nargs="*", help="JSON files of evaluations")
    report.add_argument("--metrics", type=Path, nargs="*", default=[], help="metrics.jsonl files")
    report.add_argument("--out", type=Path, required=True, help="a folder")
    return whole


def _settings(command: argparse.ArgumentParser, kind: type[attrs.AttrsInstance]) -> None:
    """Options for those fields of a class of settings that have a `flag`.

    What was given, and defaults that depend on nothing else, are in fields of the same names.
    """
    for attribute in attrs.fields(kind):
        options = dict(attribute.metadata)
        if not options:
            continue
        flag, least = options.pop("flag"), options.pop("least", None)
        if not {"action", "choices"} & options.keys():
            options["metavar"] = flag.strip("-").replace("-", "_").upper()
        if least is not None:
            options["type"] = partial(_natural, least=least)
        if attribute.default is attrs.NOTHING:
            options["required"] = True
        else:
            depends = isinstance(attribute.default, attrs.Factory)  # type: ignore[arg-type]
            options["default"] = argparse.SUPPRESS if depends else attribute.default
        command.add_argument(flag, dest=attribute.name, **options)


def given_settings(options: argparse.Namespace, kind: type[attrs.AttrsInstance]) -> dict[str, Any]:
    """What the command line says of the fields of a class of settings."""
    names = [attribute.name for attribute in attrs.fields(kind)]
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def _sandbox(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--sandbox",
        choices=["auto", "off"],
        default="auto",
        help="where candidates run (%(default)s)",
    )


def _target(command: argparse.ArgumentParser, say: str) -> None:
    command.add_argument("--out", type=_new_file, required=True, help=say)


def _natural(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a number of at least {least}, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    return _natural(text, least=1)


def _new_file(text: str) -> Path:
    """A file that can be written, as far as is seen before the work. OSError for an odd name."""
    path = Path(text).absolute()
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    above = next(folder for folder in path.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {above} does not allow it")
    return Path(text)


def _names() -> str:
    return ", ".join(sorted(path.stem for path in CONFIGS.glob("*.toml")))
