"""The result of a repair, and its JSON form (schema 1, stable).

`Outcome.to_json` is the one place that knows the schema; `docs/json.md` documents it, and it must
only ever grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import evolve, field, frozen

from coe_lsp.execution.project import Project
from coe_lsp.repair.acceptance import Acceptance
from coe_lsp.repair.patch import Patch
from coe_lsp.repair.target.source import SourceFile

SCHEMA = 1
Status = Literal["repaired", "failed", "already_passing", "error"]


@frozen
class Counts:
    """Tests passed and failed."""

    passed: int = 0
    failed: int = 0


@frozen
class Link:
    """One turn of the chain: the command, what the tests said to it, and how many passed.

    Not in the JSON: what the command does in `words`, with line numbers of the file.
    """

    command: str
    feedback: str
    passed: int
    failed: int
    words: str

    def to_json(self) -> dict[str, Any]:
        """What `--json` says of it."""
        return attrs.asdict(self, filter=lambda attribute, _: attribute.name != "words")


@frozen
class Seconds:
    """Wall time in all, with the model loading or decoding, and in tests; the last two overlap.

    `first` is when the first repair had passed, of which the rest of the time made the best.
    """

    total: float = 0.0
    model: float = 0.0
    tests: float = 0.0
    first: float | None = None


@frozen
class ModelUsed:
    """Which weights proposed the edits; sha256 is '' where it was not checked."""

    name: str
    sha256: str
    adapter: str | None


@frozen
class Repaired:
    """One of the repairs to choose from; `reason` says why it stands where it does.

    The `patch` is the repair; the diff and the commands tell of it. `doubt` says what the change
    does that may only please the tests, '' if nothing. Not in the JSON: the patch, whether it only
    `takes_back` what the user changed, the `kind` of edit that made it, and how people tell it
    `apart` from the others.
    """

    patch: Patch
    diff: str
    reason: str
    commands: tuple[str, ...]
    doubt: str = ""
    takes_back: bool = False
    kind: str = ""
    apart: str = ""

    def to_json(self) -> dict[str, Any]:
        """What `--json` says of it."""
        return {
            "diff": self.diff,
            "reason": self.reason,
            "doubt": self.doubt,
            "commands": list(self.commands),
        }


@frozen
class Partly:
    """A change that makes some of the failing tests pass, breaks none: `left` ones still fail."""

    diff: str
    repaired: tuple[str, ...]
    left: tuple[str, ...]


@frozen
class PlaceTried:
    """A place that was searched: why, for how long, how many of its tests passed at the best."""

    file: str
    function: str
    reason: str
    seconds: float
    tested: int
    passed: int
    failed: int


def merged(places: Sequence[PlaceTried]) -> tuple[PlaceTried, ...]:
    """Each place once, in the order of its first turn, with what it came to in all of them."""
    found: dict[tuple[str, str], PlaceTried] = {}
    for place in places:
        key = place.file, place.function
        before = found.get(key)
        if before is None:
            found[key] = place
            continue
        found[key] = evolve(
            max(before, place, key=lambda p: p.passed / max(1, p.passed + p.failed)),
            reason=before.reason,
            seconds=before.seconds + place.seconds,
            tested=before.tested + place.tested,
        )
    return tuple(found.values())


@frozen
class Outcome:
    """What a repair came to; `diff`, `after` and `chain` are those of the first of `patches`.

    Not in the JSON: `sources`, the files that the patches change, as they were read, by their names
    in diffs; `acceptance`, what each of the patches was seen to do; `project`, whose tests were
    run, with the file under repair that was searched last; and `kinds`, how many programs were
    tested by the kind of edit that made them.
    """

    status: Status
    file: str
    function: str | None = None
    diff: str = ""
    before: Counts = Counts()
    after: Counts = Counts()
    chain: tuple[Link, ...] = ()
    attempts: int = 0
    tests_run: int = 0
    seconds: Seconds = Seconds()
    model: ModelUsed | None = None
    message: str = ""
    patches: tuple[Repaired, ...] = ()
    partly: Partly | None = None
    places: tuple[PlaceTried, ...] = ()
    sources: Mapping[str, SourceFile] = field(factory=dict[str, SourceFile], repr=False)
    acceptance: Acceptance | None = None
    project: Project | None = field(default=None, repr=False)
    kinds: Mapping[str, int] = field(factory=dict[str, int], repr=False)

    @property
    def repaired(self) -> dict[str, SourceFile]:
        """The files that the first patch changes, changed, by their names in diffs."""
        return self.patches[0].patch.apply(self.sources) if self.patches else {}

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        seconds = {
            name: None if value is None else round(value, 3)
            for name, value in attrs.asdict(self.seconds).items()
        }
        return {
            "schema": SCHEMA,
            "status": self.status,
            "file": self.file,
            "function": self.function,
            "diff": self.diff,
            "before": attrs.asdict(self.before),
            "after": attrs.asdict(self.after),
            "chain": [link.to_json() for link in self.chain],
            "attempts": self.attempts,
            "tests_run": self.tests_run,
            "seconds": seconds,
            "model": None if self.model is None else attrs.asdict(self.model),
            "message": self.message,
            "patches": [patch.to_json() for patch in self.patches],
            "partly": None if self.partly is None else attrs.asdict(self.partly),
            "places": [
                {**attrs.asdict(place), "seconds": round(place.seconds, 3)} for place in self.places
            ],
        }
