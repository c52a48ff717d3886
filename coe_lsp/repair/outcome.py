"""The result of a repair, and its JSON form (schema 1, stable).

`Outcome.to_json` is the one place that knows the schema; docs/json.md documents it, and it must
only ever grow.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import field, frozen

SCHEMA = 1
Status = Literal["repaired", "failed", "already_passing", "error"]


@frozen
class Counts:
    """Tests passed and failed."""

    passed: int = 0
    failed: int = 0


@frozen
class Link:
    """One turn of the chain: the command, what the tests said to it, and how many passed."""

    command: str
    feedback: str
    passed: int
    failed: int


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

    Not in the JSON: the whole file, repaired.
    """

    diff: str
    reason: str
    commands: tuple[str, ...]
    new_source: bytes = field(repr=False)


@frozen
class Outcome:
    """What a repair came to; `diff`, `after` and `chain` are those of the first of `patches`.

    Not in the JSON: the whole file as it was read, and repaired.
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
    new_source: bytes | None = field(default=None, repr=False)
    old_source: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        body = attrs.asdict(self, filter=lambda attribute, _: attribute.repr is not False)
        body["chain"] = list(body["chain"])
        body["patches"] = [
            {**patch, "commands": list(patch["commands"])} for patch in body["patches"]
        ]
        for name, value in body["seconds"].items():
            body["seconds"][name] = None if value is None else round(value, 3)
        return {"schema": SCHEMA, **body}
