"""Tables and plots from evaluation files and training logs. Measures nothing itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from coe_lsp.errors import CoeError
from coe_lsp.files import replace_file
from training.evaluation.comparison import compare, format_p

_LEARNING = (
    "loss",
    "validation_loss",
    "command_accuracy",
    "reward",
    "solve_rate",
    "malformed_rate",
    "kl",
)


class ReportError(CoeError):
    """A result file cannot be used."""


def read_results(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Evaluations by the names of their files. ReportError for anything else."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            data = json.loads(path.read_text())
            greedy = {row["task_id"]: float(row["greedy"]["hidden"]) for row in data["results"]}
            found[path.stem] = {"config": data["config"], "greedy": greedy, **data["summary"]}
        except (OSError, ValueError, KeyError) as error:
            raise ReportError(f"{path} is not a finished evaluation: {error!r}.") from error
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table, one row an evaluation; rates in % with 95% intervals."""
    head = [
        "run",
        "tasks",
        "greedy",
        "pass@1",
        "pass@4",
        "visible only",
        "overfits",
        "turns",
        "tokens",
        "s a chain",
        "malformed",
    ]
    rows = [head, ["---"] * len(head)]
    for name, result in results.items():
        rows.append(
            [
                name,
                str(result["tasks"]),
                _percent(result.get("pass@1 greedy")),
                _percent(result.get("pass@1")),
                _percent(result.get("pass@4")),
                _percent(result.get("visible only")),
                str(result.get("overfits", "")),
                f"{result['turns']:.1f}",
                f"{result['tokens']:.0f}",
                f"{result['seconds']:.1f}",
                f"{100 * result['malformed']:.1f}%",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def compare_results(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of every two evaluations that share tasks; empty if there are none.

    Counts the tasks that only one of the two solves greedily; p by an exact sign test.
    """
    rows: list[str] = []
    for first, second in itertools.combinations(results, 2):
        pair = compare(results[first]["greedy"], results[second]["greedy"])
        if pair.tasks:
            rows.append(
                f"| {first} | {second} | {pair.tasks} | {pair.more} | {pair.fewer} | "
                f"{format_p(pair.p_value)} |\n"
            )
    head = "| first | second | tasks of both | only the first | only the second | p |\n"
    return head + "| --- " * 6 + "|\n" + "".join(rows) if rows else ""


def _percent(interval: dict[str, float] | None) -> str:
    if interval is None:
        return ""
    return "{mean:.1f} ({low:.1f} to {high:.1f})".format(
        **{key: 100 * value for key, value in interval.items()}
    )


def plot_results(results: dict[str, dict[str, Any]], folder: Path) -> list[Path]:
    """pass@k against samples, and solve rate against turns, as PNG."""
    return [
        _plot(
            {name: result["curve"] for name, result in results.items()},
            folder / "pass_at_k.png",
            "samples k",
            "pass@k",
        ),
        _plot(
            {
                name: result["solved_by_turn"]
                for name, result in results.items()
                if result["config"]["policy"] in ("coe", "base")
            },
            folder / "turns.png",
            "turns",
            "solve rate",
        ),
    ]


def write_report(results: Sequence[Path], folder: Path, logs: Sequence[Path] = ()) -> list[Path]:
    """`table.md` and plots of some evaluations, learning curves of `metrics.jsonl` files.

    The table is followed by comparisons. ReportError if a file cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    if results:
        found = read_results(results)
        made.append(folder / "table.md")
        text = "\n".join(filter(None, (table(found), compare_results(found))))
        replace_file(made[0], text.encode())
        made += plot_results(found, folder)
    return made + [plot_learning(log, folder / f"learning-{log.parent.name}.png") for log in logs]


def plot_learning(log: Path, path: Path) -> Path:
    """Learning curves from a `metrics.jsonl`. ReportError if it is none."""
    try:
        lines = [json.loads(line) for line in log.read_text().split("\n") if line]
        return _plot_learning(lines, path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{log} is not the metrics.jsonl of a stage: {error!r}.") from error


def _plot_learning(lines: Sequence[dict[str, float]], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(6, 4))
    for key in _LEARNING:
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=key.replace("_", " "))
    return _finish(figure, axes, path, "step", "")


def _plot(curves: dict[str, Sequence[float]], path: Path, x: str, y: str) -> Path:
    figure, axes = plt.subplots(figsize=(6, 4))
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", label=name)
    axes.set_ylim(bottom=0)
    return _finish(figure, axes, path, x, y)


def _finish(figure: Any, axes: Any, path: Path, x: str, y: str) -> Path:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
    return path
