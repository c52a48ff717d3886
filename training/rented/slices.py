"""One slice of a rented run: puts the pieces together, goes on where the last one ended, and saves.

The stages are the pipeline's; a slice ends by itself when its minutes are over. What is worth
carrying back (the adapters in 16 bits, the logs) is written as pieces of a size that fits through;
optimizer states stay on the machine, so another one goes on with a fresh optimizer.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cattrs
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from coe_lsp.files import replace_file
from training.model.checkpoint import list_checkpoints
from training.pipeline.config import RunConfig
from training.pipeline.run import run_all
from training.rented.base import unpack_base
from training.rented.pieces import cut_folder, join_folder
from training.rented.prepare import PREPARED, RUN, SETTINGS, place_here
from training.tasks.tasks import Task, save_tasks

_BACK = 15 << 20
_PLACED = ("tasks.jsonl", "held_out.jsonl", "starts.jsonl")
_LOGS = ("*.json", "*.md", "*.gguf", "starts.jsonl", "*/metrics.jsonl", "*/examples.json")


def run_slice(
    pieces: Path,
    work: Path,
    *,
    minutes: float,
    save: Path | None,
    saved: Path | None,
    console: Console,
) -> bool:
    """Do what fits into `minutes`; True when all is done. PiecesError if a piece lacks.

    Afterwards what is worth carrying back is in `save`; `saved` is what another machine had there.
    """
    work = work.resolve()
    join_folder(pieces, work)
    config = _settings(work)
    _begin(work, config, saved)
    unpack_base(Path(config.model.base))
    try:
        return run_all(config, minutes=minutes, console=console)
    finally:
        if save is not None:
            save_results(work / RUN, save)


def _settings(work: Path) -> RunConfig:
    data = json.loads((work / SETTINGS).read_text())
    data["out"] = str(work / RUN)
    data["model"]["base"] = str(work / data["model"]["base"])
    return cattrs.Converter(forbid_extra_keys=True).structure(data, RunConfig)


def _begin(work: Path, config: RunConfig, saved: Path | None) -> None:
    """Say where projects are here, and what was done elsewhere; once."""
    state = work / RUN / "state.json"
    if state.exists():
        return
    data = {"done": list(PREPARED), "seconds": {}}
    if saved is not None:
        join_folder(saved, work / "saved")
        shutil.copytree(work / "saved", work / RUN, dirs_exist_ok=True)
        data = json.loads(state.read_text())
    for path in (work / RUN / name for name in _PLACED):
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            save_tasks(path, [place_here(Task.loads(x), work, sys.executable) for x in lines])
    data["config"] = cattrs.unstructure(config)
    replace_file(state, json.dumps(data, indent=1).encode())


def save_results(run: Path, target: Path) -> None:
    """The logs, and of the latest stage its adapter, or else its newest and its best one."""
    part = run.with_name("worth-keeping")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for pattern in _LOGS:
        for path in run.glob(pattern):
            _copy(path, part / path.relative_to(run))
    stages = [run / name for name in ("rlvr", "sft") if (run / name).exists()]
    for stage in stages[:1] if not list(run.glob("*.gguf")) else []:
        newest = [stage / "adapter", *[step / "adapter" for step in list_checkpoints(stage)[-1:]]]
        for adapter in [next((x for x in newest if x.exists()), None), stage / "best" / "adapter"]:
            if adapter is not None and adapter.exists():
                _copy_in_16_bits(adapter, part / adapter.relative_to(run))
                state = adapter.with_name("state.json")
                if state.exists():
                    _copy(state, part / state.relative_to(run))
        if stage.name == "rlvr" and not (part / "rlvr" / "adapter").exists():
            # What RLVR began with is the reference of its KL term.
            _copy_in_16_bits(run / "sft" / "adapter", part / "sft" / "adapter")
    names = sorted(path.name for path in part.iterdir())
    cut_folder(part, names, target, _BACK)
    shutil.rmtree(part)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def _copy_in_16_bits(adapter: Path, target: Path) -> None:
    for path in adapter.iterdir():
        if path.suffix == ".safetensors":
            target.mkdir(parents=True, exist_ok=True)
            half = {name: value.to(torch.bfloat16) for name, value in load_file(path).items()}
            save_file(half, target / path.name)
        else:
            _copy(path, target / path.name)
