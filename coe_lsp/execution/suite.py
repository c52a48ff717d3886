"""What to run and what came of it: the data that the worker and the rest of the program exchange.

Holds no behaviour beyond small summaries. Line numbers are 1-based lines of the file under repair.
"""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from coe_lsp.execution.coe_worker.messages import FilesRan, Kind, Status, TestResult


@frozen
class Suite:
    """A set of tests and the file that they are to be run against.

    `args` are paths or node ids relative to `root`. `path` is None for `asserts` on a program that
    is not a file, and where no file is under repair yet; `setup` and `statements` belong to
    `asserts` alone. `overlay` has what other files are to be taken for, with their paths: what
    was changed already, and what an editor has not saved.
    """

    kind: Kind
    root: Path
    path: Path | None
    args: tuple[str, ...] = ()
    setup: str = ""
    statements: tuple[str, ...] = ()
    overlay: tuple[tuple[Path, bytes], ...] = ()


@frozen
class Limits:
    """Bounds on one run; sizes in bytes, times in seconds.

    A test may take `test_seconds` of wall time, and `cpu_seconds` of processor time, which a busy
    machine does not use up (not on Windows). After `timeouts` tests that ran too long the run
    ends; its results lack the tests after that. `processes`, `threads` and `files` in the scratch
    folder are counted for a whole run, as is its memory: all that it starts may take twice
    `memory_bytes` together.
    """

    wall_seconds: float = 10.0
    test_seconds: float = 5.0
    cpu_seconds: float | None = None
    memory_bytes: int = 1 << 30
    file_bytes: int = 32 << 20
    processes: int = 64
    threads: int = 512
    files: int = 20_000
    output_bytes: int = 4000
    timeouts: int | None = None


@frozen
class Preforked:
    """A program of the file under repair to be imported, and tests to be collected, but once.

    Candidates that differ from it in the bodies of functions can then be run hot.
    """

    source: bytes
    tests: frozenset[str]


@frozen
class Run:
    """One run of a suite.

    If coverage was asked for, `lines` has the executed lines by test, and `entries` the first lines
    of those functions that were called from outside the file. For a suite without a file, `files`
    has by test what ran of all the project's.

    `status` tells how the process ended; when it is not `completed`, tests that had not reported
    by then are missing from `results`. If it was `hot`, the candidate's functions put into a
    program that was imported before, failures come without detail and line. Results come from the
    process that ran the code under test: code that sets out to forge them can.
    """

    status: Status
    detail: str
    results: tuple[TestResult, ...]
    collected: tuple[str, ...] = ()
    lines: dict[str, frozenset[int]] = field(factory=dict[str, frozenset[int]])
    entries: dict[str, frozenset[int]] = field(factory=dict[str, frozenset[int]])
    files: dict[str, FilesRan] = field(factory=dict[str, FilesRan])
    output: str = ""
    seconds: float = 0.0
    hot: bool = False

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(result.outcome == "passed" for result in self.results)

    @property
    def failures(self) -> tuple[TestResult, ...]:
        """The results that count against the program."""
        return tuple(result for result in self.results if result.failing)
