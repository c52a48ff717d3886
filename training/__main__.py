"""`python -m training`: run a whole pipeline, or one piece of it."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
from rich.console import Console

from coe_lsp.cli.view import SafeConsole
from coe_lsp.engine.openmp import TRAINING, limit_spinning
from coe_lsp.errors import CoeError
from coe_lsp.escaping import printable
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.sandbox import find_sandbox
from training.cli import CONFIGS, build_parser, given_settings
from training.interruption import Interrupted, handling_signals, raise_if_asked
from training.pipeline.progress import show_bars

if TYPE_CHECKING:
    from coe_lsp.execution.sandbox import Sandbox
    from training.bugs.packages import Package
    from training.bugs.store import Store
    from training.pipeline.config import RunConfig
    from training.tasks.tasks import Cleaned, Task

#: sysexits' EX_TEMPFAIL: try again. A Python program that fails ends with 1.
TIME_IS_UP = 75


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 2 bad input, 75 time was up and the same command goes on, 130 or 143 interrupted."""
    console = SafeConsole()
    # Bars and deprecations of the libraries' own would run through ours.
    os.environ.setdefault("TQDM_DISABLE", "1")
    limit_spinning(TRAINING)  # PyTorch is not imported yet
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        options = build_parser().parse_args(arguments)
        with handling_signals():
            code = _COMMANDS[options.command](options, console)
            raise_if_asked()
        return code
    except CoeError as error:
        print(f"training: {printable(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:  # a file that cannot be read or written, a full disk
        where = f"{error.filename}: " if error.filename else ""
        print(f"training: {where}{error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(
            "training: interrupted; the same command goes on from what was saved last.",
            file=sys.stderr,
        )
        return error.exit_code if isinstance(error, Interrupted) else 130


def _config(name: str) -> RunConfig:
    from training.pipeline.config import read_config

    bundled = CONFIGS / f"{name}.toml"
    return read_config(bundled if bundled.is_file() else Path(name))


def _run(options: argparse.Namespace, console: Console) -> int:
    config = _config(options.config)
    if options.project:
        project = str(Path(options.project).resolve())
        config = attrs.evolve(config, tasks=attrs.evolve(config.tasks, project=project))
    if options.history:
        history = str(Path(options.history).resolve())
        config = attrs.evolve(config, tasks=attrs.evolve(config.tasks, history=history))
    if options.out:
        config = attrs.evolve(config, out=options.out)

    from training.model.source import find_base
    from training.pipeline.comparison import read_verdict
    from training.pipeline.run import helps, run_all

    trackers: list[str] = options.tracker
    if not run_all(config, minutes=options.minutes, console=console, trackers=trackers):
        return TIME_IS_UP
    if helps():
        return 0
    source = find_base(config.model.base)
    adapter = (Path(config.out) / f"{source.base_key}-coe-v1.gguf").resolve()
    console.print(f"\nThe adapter: {adapter}", soft_wrap=True)
    model = f" --model {config.model.base}" if config.model.base != "qwen2.5-coder-0.5b" else ""
    if source.path is None:
        console.print("To use it, make a GGUF of the base with llama.cpp's convert_hf_to_gguf.py:")
        model = " --model BASE.gguf"
    console.print(f"coe-lsp repair{model} --adapter {adapter} FILE", soft_wrap=True)
    verdict = read_verdict(Path(config.out) / "comparison.json")
    for line in verdict.lines() if verdict is not None else []:
        console.print(line, soft_wrap=True, markup=False)
    use = "new" if verdict is None else verdict.use
    if use == "shipped":
        console.print("There is nothing to set: coe-lsp uses the shipped adapter by itself.")
        return 0
    if use == "sft":
        sft = Path(config.out) / "sft" / "adapter"
        console.print(
            f"To have it: python -m training export --adapter {sft} "
            f"--model {config.model.base} --out FILE.gguf",
            soft_wrap=True,
            markup=False,
        )
        return 0
    console.print(
        "In your project's pyproject.toml: "
        f'[tool.coe] adapter = "{adapter if use == "new" else "none"}"',
        soft_wrap=True,
        markup=False,
    )
    return 0


def _tasks(options: argparse.Namespace, console: Console) -> int:
    from training.tasks.harvest import harvest_package, harvest_project
    from training.tasks.tasks import save_tasks

    sandbox = find_sandbox(options.sandbox)
    if options.history or options.releases or options.package_list:
        return _bugs(options, sandbox, console)
    if options.bugs:
        return _bug_tasks(options, sandbox, console)
    with console.status("") as status:

        def show(path: Path, number: int, files: int) -> None:
            status.update(f"running the tests of {path.name} (file {number + 1} of {files})")

        if options.project:
            root = options.project.resolve()
            interpreter = find_interpreter(root, options.python, sandbox)
            found = harvest_project(
                root, interpreter, sandbox, max_lines=options.max_lines, progress=show
            )
        else:
            interpreter = find_interpreter(Path.cwd(), options.python or sys.executable, sandbox)
            found = harvest_package(
                options.package, interpreter, sandbox, max_lines=options.max_lines, progress=show
            )
    save_tasks(options.out, found.tasks)
    _tell_tasks(found, options.out, console)
    return 0


def _tell_tasks(found: Cleaned, out: Path, console: Console) -> None:
    console.print(f"{len(found.tasks)} tasks in {out}")
    for reason, count in Counter(found.dropped).most_common():
        console.print(f"{count:6} left out: {reason}")


def _bug_tasks(options: argparse.Namespace, sandbox: Sandbox, console: Console) -> int:
    from training.bugs.command import listed_bug_tasks
    from training.tasks.tasks import save_tasks

    with show_bars(console) as bar:
        line = bar("tasks")
        found = listed_bug_tasks(
            options.bugs,
            options.clones,
            sandbox,
            max_lines=options.max_lines,
            progress=lambda done, total: line("bugs made again", done, total),
        )
    save_tasks(options.out, found.tasks)
    _tell_tasks(found, options.out, console)
    return 0


def _bugs(options: argparse.Namespace, sandbox: Sandbox, console: Console) -> int:
    from training.bugs.bugs import save_bugs
    from training.bugs.collect import Bounds
    from training.bugs.command import bug_store, collect_own, summary, write_bugs
    from training.bugs.packages import Package, read_packages
    from training.bugs.store import Store, own_store

    versions = options.versions or (200 if options.history else Bounds().versions)
    bounds = Bounds(faults=options.most or Bounds().faults, versions=versions)
    if options.history:
        store = own_store(bug_store(), options.history, options.python, sandbox)
        with console.status("") as status:
            _, collected = collect_own(
                options.history,
                store,
                bounds,
                sandbox,
                lambda text: console.print(text, markup=False, soft_wrap=True),
                status.update,
            )
        bugs = collected.bugs
        save_bugs(options.out, bugs)
    else:
        packages = (
            read_packages(options.package_list)
            if options.package_list
            else [Package(options.releases, "", tuple(options.needs))]
        )
        if options.split:
            packages = [package for package in packages if package.split == options.split]
        store = Store(bug_store(), options.clones)
        if options.functions:
            return _functions(packages, store, sandbox, options, console)
        bugs = write_bugs(packages, store, bounds, sandbox, options.out, console)
    console.print(summary(bugs), markup=False, soft_wrap=True)
    return 0


def _functions(
    packages: Sequence[Package],
    store: Store,
    sandbox: Sandbox,
    options: argparse.Namespace,
    console: Console,
) -> int:
    from training.bugs.functions import write_functions

    with console.status("") as status:

        def show(path: Path, number: int, files: int) -> None:
            status.update(f"running the tests of {path.name} (file {number + 1} of {files})")

        tasks = write_functions(
            packages,
            store,
            sandbox,
            options.out,
            lambda text: console.print(text, markup=False, soft_wrap=True),
            max_lines=options.max_lines,
            most=options.most or 80,
            progress=show,
        )
    console.print(f"{len(tasks)} functions in {options.out}")
    return 0


def _sample(options: argparse.Namespace, console: Console) -> int:
    from training.tasks.tasks import TaskError, sample_file

    if any("=" not in text for text in options.where):
        raise TaskError("--where takes FIELD=VALUE, for example --where n_bugs=1.")
    where = dict(text.split("=", 1) for text in options.where)
    count = sample_file(
        options.tasks, options.out, where=where, count=options.count, seed=options.seed
    )
    console.print(f"{count} tasks in {options.out}")
    return 0


def _show(options: argparse.Namespace, console: Console) -> int:
    from training.demonstrations.measures import measure
    from training.demonstrations.show import show
    from training.tasks.records import read_records, read_some_records

    for record in read_some_records(options.records, options.count, Random(options.seed)):
        console.print(show(record), markup=False, highlight=False, soft_wrap=True)
    if options.measure:
        for name, value in measure(read_records(options.records)).rows():
            console.print(f"{name:58} {value}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _faulty(options: argparse.Namespace, console: Console) -> int:
    from coe_lsp.engine.engine import Engine
    from training.files import resume_work, write_lines
    from training.model.source import BaseError, find_base
    from training.sampling.faulty_programs import ProgramSampling, write_faulty_programs
    from training.sampling.whole_programs import LlamaWriter
    from training.tasks.tasks import load_tasks

    path = find_base(options.model).path
    if path is None:
        raise BaseError("Programs are written by the model as it is served: name a GGUF.")
    tasks = load_tasks(options.tasks)
    Random(options.seed).shuffle(tasks)
    sampling = ProgramSampling(options.each, seed=options.seed)
    sandbox = find_sandbox(options.sandbox)
    # What a kill leaves is used again if the same was asked for.
    file = path.stat()
    asked = repr((path, file.st_size, file.st_mtime_ns, sampling, options.keep, tasks)).encode()
    part = options.out.with_name(f"{options.out.name}.part")
    lines: list[str] = []
    with (
        show_bars(console) as bar,
        Engine(path, context_tokens=8192, max_sequences=sampling.each + 2) as engine,
    ):
        writer, line = LlamaWriter(engine), bar("faulty")

        def write(left: Sequence[Task]) -> Generator[list[str], None, None]:
            for task in left:
                made = write_faulty_programs([task], writer, sampling, sandbox, threads=1)
                yield [task.dumps() for task in islice(made, options.keep)]

        results = resume_work(part, hashlib.sha256(asked).hexdigest(), tasks, write)
        for done, made in enumerate(results, 1):
            lines += made
            line("tasks written", done, len(tasks))
            if len(lines) >= options.count:
                break
    lines = lines[: options.count]
    write_lines(options.out, lines)
    part.unlink()
    console.print(f"{len(lines)} tasks in {options.out}")
    return 0


def _evaluate(options: argparse.Namespace, console: Console) -> int:
    from training.evaluation.config import EvaluationConfig
    from training.model.source import BaseError, find_base
    from training.tasks.tasks import load_tasks

    # What is wrong with these is told before anything heavy is imported.
    tasks = load_tasks(options.tasks)[: options.first]
    source = find_base(options.model)
    if source.path is None:
        raise BaseError("Evaluation runs the model as it is served: name a GGUF.")

    from training.evaluation.evaluate import evaluate, make_harvested_faulty
    from training.evaluation.report import table

    tasks = make_harvested_faulty(
        tasks, options.out, seed=options.seed, sandbox=find_sandbox(options.sandbox)
    )
    config = EvaluationConfig(**given_settings(options, EvaluationConfig))
    with show_bars(console) as bar:
        line = bar("evaluation")
        result = evaluate(
            tasks,
            source.path,
            options.adapter,
            config,
            options.out,
            sandbox=find_sandbox(options.sandbox),
            merge=source.merges,
            progress=lambda done, total, solved: line(f"tasks, {solved} solved", done, total),
        )
    assert result is not None  # there is no deadline
    row = {options.out.stem: {"config": result["config"], **result["summary"]}}
    console.print(table(row), markup=False, soft_wrap=True)
    return 0


def _s1k(options: argparse.Namespace, console: Console) -> int:
    from training.evaluation.s1k import encode_traces, load_traces
    from training.model.base import load_tokenizer
    from training.model.export import check_base, export_adapter
    from training.model.source import find_base
    from training.pipeline.workspace import TrainingRun, fine_tune

    config = attrs.evolve(_config(options.config), out=str(options.out))
    # A baseline beside chains of edits does not begin with an adapter for them.
    config = attrs.evolve(config, model=attrs.evolve(config.model, adapter=None))
    source = find_base(config.model.base)
    check_base(source.files)
    rows = load_traces(options.traces)
    examples = encode_traces(rows, load_tokenizer(source), max_tokens=config.max_tokens)
    with show_bars(console) as bar:
        run = TrainingRun(config, bar("s1k"), time.monotonic() + 60 * options.minutes)
        if not fine_tune(run, "sft", examples, [], None):
            console.print("Stopped; run the same command again to go on.")
            return TIME_IS_UP
    target = run.file(f"{source.base_key}-s1k.gguf")
    export_adapter(run.last_adapter, source.files, target)
    console.print(f"The adapter: {target}", soft_wrap=True)
    return 0


def _prepare(options: argparse.Namespace, console: Console) -> int:
    config = _config(options.config)

    from training.pipeline.run import run_all
    from training.pipeline.workspace import TrainingRun
    from training.rented.prepare import PREPARED, prepare

    if not run_all(config, minutes=options.minutes, console=console, only=PREPARED):
        return TIME_IS_UP
    with show_bars(console) as bar:
        pieces = prepare(
            TrainingRun(config, bar("prepare")),
            options.bundle,
            processes=options.processes,
            piece_bytes=options.piece_mib << 20,
        )
    total = sum(path.stat().st_size for path in pieces)
    console.print(f"{len(pieces)} pieces, {total >> 20} MiB, in {pieces[0].parent}")
    return 0


def _slice(options: argparse.Namespace, console: Console) -> int:
    from training.rented.slices import run_slice

    done = run_slice(
        options.pieces,
        options.work,
        minutes=options.minutes,
        save=options.save,
        saved=options.saved,
        console=console,
    )
    return 0 if done else TIME_IS_UP


def _export(options: argparse.Namespace, console: Console) -> int:
    from training.model.export import export_adapter, export_merged
    from training.model.source import BaseError, find_base

    source = find_base(options.model)
    if not options.merge:
        export_adapter(options.adapter, source.files, options.out)
    elif source.path is None:
        raise BaseError("A merged model is made of the base as a GGUF: name one.")
    else:
        export_merged(options.adapter, source.path, options.out, options.merge)
    console.print(f"{options.out} ({options.out.stat().st_size >> 10} KiB)")
    return 0


def _report(options: argparse.Namespace, console: Console) -> int:
    from training.evaluation.report import ReportError, write_report

    if not options.results and not options.metrics:
        raise ReportError("Name evaluations, or metrics.jsonl files with --metrics.")
    for path in write_report(options.results, options.out, options.metrics):
        console.print(str(path), markup=False, soft_wrap=True)
        if path.suffix == ".md":
            console.print(path.read_text(), markup=False, soft_wrap=True)
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "run": _run,
    "tasks": _tasks,
    "sample": _sample,
    "show": _show,
    "faulty": _faulty,
    "evaluate": _evaluate,
    "s1k": _s1k,
    "prepare": _prepare,
    "slice": _slice,
    "export": _export,
    "report": _report,
}

if __name__ == "__main__":
    sys.exit(main())
