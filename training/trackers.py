"""Shows the numbers of a stage in TensorBoard, trackio or Weights & Biases as well, by accelerate.

A stage's `metrics.jsonl` is the record, and is written in any case; a tracker only shows the same
numbers while they come. Weights & Biases sends them to its servers, unless WANDB_MODE=offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from coe_lsp.errors import CoeError

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

#: Their names are those of their packages and of accelerate's `log_with`.
TRACKERS = ("tensorboard", "trackio", "wandb")
_PROJECT = "coe-lsp"


class TrackerError(CoeError):
    """A tracker cannot be used."""


class Track(Protocol):
    """Takes the numbers of a step."""

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None: ...


def check_trackers(names: Sequence[str]) -> None:
    """TrackerError if one of them is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TrackerError(f"{name} is not installed: pip install {name}.")


@contextmanager
def tracking(names: Sequence[str], folder: Path, stage: str) -> Iterator[Track]:
    """What shows a stage's numbers in these trackers; TensorBoard's files are below `folder`.

    They start with the first step: by then it is settled which of several processes is the main
    one, which alone shows them.
    """
    started: list[GeneralTracker] = []

    def track(step: int, numbers: Mapping[str, float]) -> None:
        if not names:
            return
        from accelerate import PartialState

        if not PartialState().is_main_process:
            return
        if not started:
            started.extend(_start(name, folder, stage) for name in names)
        for tracker in started:
            tracker.log({f"{stage}/{name}": value for name, value in numbers.items()}, step=step)

    try:
        yield track
    finally:
        for tracker in started:
            tracker.finish()


def _start(name: str, folder: Path, stage: str) -> GeneralTracker:
    from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker

    run = f"{folder.name}-{stage}"
    match name:
        case "tensorboard":
            tracker = TensorBoardTracker(stage, folder / "tensorboard")
        case "trackio":
            tracker = TrackioTracker(_PROJECT, name=run)
        case _:
            tracker = WandBTracker(_PROJECT, name=run, dir=str(folder))
    tracker.start()
    return tracker
