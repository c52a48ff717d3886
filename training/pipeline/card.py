"""A model card from a run's own numbers: what was really made and trained, not what was wished.

The YAML head is what the hub reads. Results of evaluations are not repeated here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coe_lsp.models.registry import HubSource, load_registry
from training.files import read_whole_lines
from training.model.source import find_base
from training.pipeline.comparison import read_verdict
from training.pipeline.workspace import TrainingRun


def write_card(run: TrainingRun, adapter: Path) -> Path:
    """Write the card beside the adapter."""
    base, licence = _origin(run.config.model.base)
    head = [
        "---",
        f"base_model: {base}",
        "base_model_relation: adapter",
        *([f"license: {licence}"] if licence else []),
        "library_name: gguf",
        "tags: [lora, code, program-repair, chain-of-edits, coe-lsp]",
        "---",
    ]
    rows = [f"| {name} | {value} |" for name, value in _rows(run).items()]
    text = [
        *head,
        "",
        f"# {adapter.stem}",
        "",
        f"A LoRA adapter (GGUF) that teaches {base} to repair a Python function by a chain of edit",
        "commands, for coe-lsp. All numbers below are what was realised in the run that made it.",
        "",
        "| | |",
        "| --- | --- |",
        *rows,
    ]
    verdict = read_verdict(run.file("comparison.json"))
    if verdict is not None:
        text += ["", "## Compared", "", *verdict.lines()]
    path = adapter.with_suffix(".md")
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def _origin(name: str) -> tuple[str, str]:
    """The base's repository on the hub as far as it is known, and its licence.

    A folder has the name of the base that it was made of.
    """
    key = find_base(name).base_key
    spec = next((spec for spec in load_registry().models if spec.base_key == key), None)
    if spec is None:
        return name, ""
    repositories = [place.repo for place in spec.sources if isinstance(place, HubSource)]
    known = repositories[0].removesuffix("-GGUF") if repositories else spec.name
    return known, spec.licence.lower()


def _rows(run: TrainingRun) -> dict[str, str]:
    config = run.config
    rows = {"stages": ", ".join(["sft", *config.stages]), "seed": str(config.seed)}
    tasks = _read(run.file("tasks.json"))
    rows["functions"] = f"{tasks['kept']}; {sum(tasks['dropped'].values())} left out"
    made = _read(run.file("demonstrations.json"))
    if made:
        rows["demonstrations"] = (
            f"{made['demonstrations']}, {made['turns_mean']} turns and "
            f"{made['distance_mean']} characters changed on average"
        )
        rows["realised mix"] = _shares(made["realised_mix"])
        rows["commands"] = _shares(made["commands"])
    rows["LoRA"] = f"rank {config.model.lora.rank}, alpha {config.model.lora.alpha}"
    for stage in ("sft", "rejection", "expert"):
        steps = _steps(run.file(stage) / "metrics.jsonl")
        if steps:
            tokens = sum(step["tokens"] for step in steps)
            seconds = sum(step["seconds"] for step in steps)
            rows[stage] = (
                f"{len(steps)} steps, {tokens} tokens, {seconds / 60:.0f} minutes; "
                f"{_kept(run.file(stage))}"
            )
    steps = _steps(run.file("rlvr") / "metrics.jsonl")
    if steps:
        chains = sum(int(s["groups"] + s["groups_alike"]) for s in steps)
        rows["rlvr"] = (
            f"{len(steps)} of {config.rlvr.steps} steps, "
            f"{chains * config.rlvr.num_generations} chains; {_kept(run.file('rlvr'))}"
        )
    return rows


def _kept(stage: Path) -> str:
    state = _read(stage / "best" / "state.json")
    return f"the adapter of step {state['step']} was kept" if state else "the last step was kept"


def _shares(counts: dict[str, float]) -> str:
    total = sum(counts.values()) or 1
    return ", ".join(f"{name} {count / total:.0%}" for name, count in counts.items())


def _steps(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_whole_lines(log)]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
