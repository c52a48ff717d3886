"""What both trainers are told about a run besides their settings. Decides nothing itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import torch
from attrs import field, frozen

from training.interruption import stop_asked
from training.model.checkpoint import load_adapter
from training.model.policy_model import PolicyModel


@frozen
class Session:
    """Where a trainer writes, what it begins with, and when it has to stop.

    `init` is the adapter's folder to begin with; None keeps the model's. Checkpoints,
    `metrics.jsonl` and, in the end, `adapter` are in `folder`.
    """

    folder: Path
    seed: int
    init: Path | None = None
    minutes: float = float("inf")
    device: Literal["cpu", "auto"] = "auto"
    _began: float = field(factory=time.monotonic, init=False)

    @property
    def is_over(self) -> bool:
        """Whether the time is up, or a signal asked to stop."""
        return stop_asked() or time.monotonic() > self._began + 60 * self.minutes

    def prepare(self, model: PolicyModel, device: torch.device) -> None:
        """Seed torch, load the first adapter and move the model."""
        torch.manual_seed(self.seed)
        if self.init is not None:
            load_adapter(self.init, model)
        model.to(device)
