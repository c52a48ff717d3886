"""The processes of a run that `accelerate launch` or `torchrun` started: who does what.

Each has the same adapter and does its share of the work; what comes of it is gathered, so that all
take the same steps. Started without these there is one process, which does everything. They share
the run's folder, where the first of them, the main one, writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

T = TypeVar("T")


class ProcessGroup:
    """All processes, as one of them sees them. All must call each method but `share` together."""

    def __init__(self, device: Literal["cpu", "auto"]) -> None:
        self.accelerator = Accelerator(cpu=device == "cpu")
        self.device: torch.device = self.accelerator.device
        self.index: int = self.accelerator.process_index
        self.count: int = self.accelerator.num_processes
        self.is_main: bool = self.accelerator.is_main_process

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process has to do of all that is to be done."""
        return list(items[self.index :: self.count])

    def gather(self, mine: list[T]) -> list[T]:
        """What all have done, the first process's first."""
        return gather_object(mine) if self.count > 1 else mine

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        summed: Any = self.accelerator.reduce(values, "sum") if self.count > 1 else values
        return summed

    def any(self, flag: bool) -> bool:
        """Whether this is true of any process."""
        return bool(self.total(torch.tensor(float(flag), device=self.device)) > 0)

    def total_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
        """Give each process the sum of all gradients; one that has none adds nothing."""
        if self.count > 1:
            for weight in weights:
                own = torch.zeros_like(weight) if weight.grad is None else weight.grad
                weight.grad = self.total(own)

    def wait(self) -> None:
        """Until all are here."""
        self.accelerator.wait_for_everyone()
