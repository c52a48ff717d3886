"""What a repair is asked for, and who is told how it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from coe_lsp.execution.project import ProjectOptions
from coe_lsp.execution.suite import Suite
from coe_lsp.repair.scout import Scouted
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.target.baseline import Baseline
from coe_lsp.repair.target.source import Function, SourceFile
from coe_lsp.repair.way_in import WayIn


@frozen
class Request:
    """What to repair and how far to go. `budget` is in seconds of wall time for the search.

    `source` is the text of the way's file if it is not (yet) what the disk has; where tests were
    named, `unsaved` has such files of the project, by path. `options` say how tests are run.
    `search` has what measurements switch; the fields here go before it.
    """

    way: WayIn
    source: SourceFile | None = None
    unsaved: Mapping[Path, SourceFile] = field(factory=dict[Path, SourceFile])
    options: ProjectOptions = field(factory=ProjectOptions)
    budget: float = 60.0
    samples: int = 16
    search: SearchSettings = field(factory=SearchSettings)


class Watcher(Protocol):
    """Told of everything that happens, in order; must not raise."""

    def baseline(self, baseline: Baseline, suites: Sequence[Suite]) -> None:
        """The tests have run on the file as it is."""
        ...

    def scouted(self, scouted: Scouted) -> None:
        """The named tests have run on the project as it is."""
        ...

    def target(self, file: str, function: Function, target_tests: Sequence[str]) -> None:
        """The function that is tried next, and the failing tests that must pass."""
        ...

    def step(self, step: Step) -> None:
        """A chain has taken a turn."""
        ...
