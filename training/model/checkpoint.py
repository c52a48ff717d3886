"""Checkpoints of an adapter under training: small files, whole or not there, resumable exactly.

A checkpoint is a folder `step-N` with the adapter, the optimizer's state and `state.json`; no file
is larger than 16 MiB, so that it can be carried out of a rented machine. The newest two are kept.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file

from coe_lsp.errors import CoeError
from training.model.policy_model import PolicyModel

_SHARD = "15MB"
_KEPT = 2


class CheckpointError(CoeError):
    """A checkpoint or adapter cannot be used."""


def save_checkpoint(
    folder: Path, step: int, model: PolicyModel, optimizer: torch.optim.Optimizer
) -> None:
    """Write `folder/step-N` and drop older ones. OSError if the disk is full."""
    final = folder / f"step-{step}"
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_adapter(part / "adapter", model)
    moments: dict[str, torch.Tensor] = {}
    for name, weight in model.trainable().items():
        for key, value in optimizer.state.get(weight, {}).items():
            moments[f"{name}:{key}"] = torch.as_tensor(value).reshape(-1)
    (part / "optimizer").mkdir()
    if moments:
        save_torch_state_dict(moments, part / "optimizer", max_shard_size=_SHARD)
    (part / "state.json").write_text(json.dumps({"step": step}))
    shutil.rmtree(final, ignore_errors=True)
    part.replace(final)
    for old in list_checkpoints(folder)[:-_KEPT]:
        shutil.rmtree(old)


class BestAdapter:
    """The adapter of a stage's best step so far, in its folder `best`, with score and step.

    What is better has a higher score; of equals the earlier stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "best"
        self.step: int | None = None
        part = folder / "best.part"
        if not self._path.exists() and (part / "state.json").exists():
            part.replace(self._path)  # a kill came in between
        if (self._path / "state.json").exists():
            state = json.loads((self._path / "state.json").read_text())
            self.step, self.score = state["step"], state["score"]

    def offer(self, step: int, score: float, model: PolicyModel) -> None:
        """Keep the model's adapter if it is the best so far."""
        if self.step is not None and score <= self.score:
            return
        part = self._folder / "best.part"
        shutil.rmtree(part, ignore_errors=True)
        save_adapter(part / "adapter", model)
        (part / "state.json").write_text(json.dumps({"step": step, "score": score}))
        shutil.rmtree(self._path, ignore_errors=True)
        part.replace(self._path)
        self.step, self.score = step, score

    def keep(self, model: PolicyModel) -> None:
        """Write the stage's `adapter`: the best one, or the model's if none was offered."""
        if self.step is not None:
            load_adapter(self._path / "adapter", model)
        save_adapter(self._folder / "adapter", model)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def resume(folder: Path, model: PolicyModel, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest checkpoint into model and optimizer; its step, 0 if there is none."""
    found = list_checkpoints(folder)
    if not found:
        return 0
    load_adapter(found[-1] / "adapter", model)
    moments = _load(found[-1] / "optimizer")
    for name, weight in model.trainable().items():
        mine = {
            key.rpartition(":")[2]: v for key, v in moments.items() if key.startswith(name + ":")
        }
        if mine:
            optimizer.state[weight] = {
                key: value.reshape(()) if key == "step" else _like(value, weight)
                for key, value in mine.items()
            }
    return json.loads((found[-1] / "state.json").read_text())["step"]


def _like(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return value.reshape(weight.shape).to(weight.device)


def save_adapter(folder: Path, model: PolicyModel) -> None:
    """Write an adapter alone, in pieces and with peft's configuration beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().cpu().contiguous() for name, value in model.adapter_state().items()
    }
    save_torch_state_dict(
        state, folder, filename_pattern="adapter_model{suffix}.safetensors", max_shard_size=_SHARD
    )
    model.peft.peft_config["default"].save_pretrained(str(folder))


def load_adapter(folder: Path, model: PolicyModel) -> None:
    """Load what `save_adapter` wrote. CheckpointError if it is not there or does not fit."""
    state = read_adapter(folder)
    try:
        model.load_adapter_state(state)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"The adapter {folder} does not fit this base model and LoRA size: {error}"
        ) from error


def read_adapter(folder: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors in peft's names. CheckpointError if there are none."""
    state = _load(folder)
    if not state:
        raise CheckpointError(f"There is no adapter in {folder}.")
    return state


def _load(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    return state
