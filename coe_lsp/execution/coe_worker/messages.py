"""Every message between the client, the zygote and its children, each a class of its own.

    client -> zygote   Opening, then RunRequest, PreforkRequest, Cancel
    zygote -> client   Ready, Stale or SetupFailed; then RunReply, PreforkReply
    child -> zygote    Collected, TestStarted, TestResult, LinesRan, FilesRan, CannotRunHot,
                       Finished
    zygote -> spawned child   ChildOpening

On the wire a message is a JSON object: its fields, and the name of its class under `frame`. Both
sides import this file, so it needs nothing but Python 3.9. It says which messages there are, not
whether what arrives is to be believed: of one with other fields `decode` makes a FrameError, the
types of the values are checked where it matters (`watch`, and `replies` at the client's side).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Literal, Optional, Tuple, Type, TypeVar, Union

from .wire import FrameError, read_frame, write_frame

Kind = Literal["pytest", "unittest", "doctest", "asserts"]
Outcome = Literal["passed", "failed", "error", "timeout", "skipped"]
Status = Literal["completed", "timeout", "crashed", "cancelled", "processes", "memory"]
#: Where the zygote parks: before pytest is imported, with it imported, with it configured.
Stage = Literal["bare", "imported", "configured"]


# -- what is asked for


@dataclass(frozen=True)
class SuiteSpec:
    """A suite of tests and the file that they are run against; see `execution.suite.Suite`.

    `overlay` has, by path, the bytes of other files as Latin-1 text.
    """

    kind: Kind
    root: str
    path: Optional[str]
    args: List[str]
    setup: str
    statements: List[str]
    overlay: Dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class LimitsSpec:
    """Bounds on one run; see `execution.suite.Limits`."""

    wall_seconds: float
    test_seconds: float
    cpu_seconds: Optional[float]
    memory_bytes: int
    file_bytes: int
    processes: int
    threads: int
    files: int
    output_bytes: int
    timeouts: Optional[int]


@dataclass(frozen=True)
class RunSpec:
    """One candidate and how its tests are to be run.

    `source` has the candidate's bytes as Latin-1 text (None: the file as it is on disk), `select`
    the ids of the tests to run (None: all). `nonce` marks what the tests print.
    """

    source: Optional[str]
    select: Optional[List[str]]
    coverage: bool
    limits: LimitsSpec
    nonce: str

    @property
    def program(self) -> Optional[bytes]:
        """The candidate's bytes."""
        return None if self.source is None else self.source.encode("latin-1")


@dataclass(frozen=True)
class Opening:
    """The first frame: whom to serve, and where to park."""

    suite: SuiteSpec
    stage: Stage
    preload: bool
    spawn: bool
    memory_bytes: int


@dataclass(frozen=True)
class RunRequest:
    """Run the tests; if `hot`, in the process that `PreforkRequest` prepared.

    What they write into a copy of the project ends with the run, unless it is to be kept.
    """

    token: str
    run: RunSpec
    hot: bool = False
    keep: bool = False


@dataclass(frozen=True)
class PreforkRequest:
    """Import a program and collect its tests, for candidates that are run hot."""

    token: str
    run: RunSpec


@dataclass(frozen=True)
class Cancel:
    """End the run in progress, if there is one."""


@dataclass(frozen=True)
class ChildOpening:
    """The only frame that a spawned child reads."""

    suite: SuiteSpec
    run: RunSpec


# -- what is answered


@dataclass(frozen=True)
class Ready:
    """The zygote is parked and takes requests."""


@dataclass(frozen=True)
class Stale:
    """The file under repair is already imported at this stage: park one earlier."""


@dataclass(frozen=True)
class SetupFailed:
    """No test can be run; the zygote's last words say why."""


@dataclass(frozen=True)
class TestResult:
    """One test. `line` is the innermost line of the file under repair in the traceback.

    Where no file is under repair, `stack` has the project's files and lines in it, outermost first.
    `values` are those at the line, or the last of the stack, by name as short texts (see `values`);
    only the first failures of a run have them.
    """

    __test__ = False

    id: str
    outcome: Outcome
    detail: str = ""
    line: Optional[int] = None
    stack: Tuple[Tuple[str, int], ...] = ()
    values: Tuple[Tuple[str, str], ...] = ()
    output: str = ""
    seconds: float = 0.0

    @property
    def failing(self) -> bool:
        """Whether it counts against the program."""
        return self.outcome in ("failed", "error", "timeout")


@dataclass(frozen=True)
class FilesRan:
    """What ran in a test where no file is under repair, by path relative to the root.

    `lines` (1-based); `depths` by the first line of each function that was called: how many of the
    project's frames were below it when it was called first.
    """

    id: str
    lines: Dict[str, FrozenSet[int]]
    depths: Dict[str, Dict[int, int]]


@dataclass(frozen=True)
class RunReply:
    """What came of a run.

    `hot` says of one that was to be hot whether it could be. After `retire` the zygote has to be
    replaced by one that does not preload, after `ending` by another one of its kind. `wrote` says
    whether the tests left something in the copy of the project.
    """

    token: str
    status: Status = "completed"
    detail: str = ""
    results: Tuple[TestResult, ...] = ()
    collected: Tuple[str, ...] = ()
    lines: Dict[str, FrozenSet[int]] = field(default_factory=dict[str, FrozenSet[int]])
    entries: Dict[str, FrozenSet[int]] = field(default_factory=dict[str, FrozenSet[int]])
    files: Dict[str, FilesRan] = field(default_factory=dict[str, FilesRan])
    output: str = ""
    seconds: float = 0.0
    hot: bool = False
    retire: bool = False
    ending: bool = False
    wrote: bool = False


@dataclass(frozen=True)
class PreforkReply:
    """Whether candidates can be run hot: as an answer to a run, that they no longer can."""

    token: str
    ready: bool


# -- what a child reports; besides TestResult and FilesRan

#: Name, file, and whether pytest rewrote its assertions.
ImportedModule = Tuple[str, str, bool]


@dataclass(frozen=True)
class Collected:
    """Which tests there are."""

    ids: List[str]


@dataclass(frozen=True)
class TestStarted:
    """A test begins."""

    __test__ = False

    id: str


@dataclass(frozen=True)
class LinesRan:
    """Lines (1-based) that ran in a test, and first lines of functions called from outside."""

    id: str
    lines: List[int]
    entries: List[int]


@dataclass(frozen=True)
class CannotRunHot:
    """The candidate differs in more than functions that can be exchanged."""


@dataclass(frozen=True)
class Finished:
    """All tests are over. `modules` is what the run imported, if that was asked for."""

    modules: Optional[List[ImportedModule]]


#: Before each line that `calls` prints among what the tests print.
OBSERVED = "\x1ecoe saw "

Request = Union[RunRequest, PreforkRequest, Cancel]
Event = Union[Collected, TestStarted, TestResult, LinesRan, FilesRan, CannotRunHot, Finished]
#: The classes of all events.
EVENTS = (Collected, TestStarted, TestResult, LinesRan, FilesRan, CannotRunHot, Finished)


# -- to frames and back

Message = TypeVar("Message")
#: Fields that are messages themselves.
_NESTED_MESSAGES: Dict[Type[Any], Dict[str, Type[Any]]] = {
    Opening: {"suite": SuiteSpec},
    ChildOpening: {"suite": SuiteSpec, "run": RunSpec},
    RunRequest: {"run": RunSpec},
    PreforkRequest: {"run": RunSpec},
    RunSpec: {"limits": LimitsSpec},
}


def encode(message: Any) -> Dict[str, Any]:
    """A message as the object that stands for it on the wire."""
    return {**vars(message), "frame": type(message).__name__}


def decode(frame: Dict[str, Any], *expected: Type[Message]) -> Message:
    """The message that a frame holds; FrameError if it is none of those expected."""
    name = frame.pop("frame", None)
    for kind in expected:
        if kind.__name__ == name:
            return _build(kind, frame)
    raise FrameError("a frame is not a message that may come now")


def _build(kind: Type[Message], fields: Any) -> Message:
    try:
        if kind in _NESTED_MESSAGES:
            parts = _NESTED_MESSAGES[kind].items()
            fields = {**fields, **{name: _build(part, fields.get(name)) for name, part in parts}}
        return kind(**fields)
    except (TypeError, AttributeError) as error:
        raise FrameError("a message has other fields than it should") from error


def send(fd: int, message: Any, deadline: Optional[float] = None) -> None:
    """Write one message; see `wire.write_frame` for what it raises."""
    write_frame(fd, encode(message), deadline)


def receive(fd: int, *expected: Type[Message], deadline: Optional[float] = None) -> Message:
    """Read one message of those expected; see `wire.read_frame` for what it raises."""
    return decode(read_frame(fd, deadline), *expected)


def send_reply(fd: int, reply: RunReply) -> None:
    """Answer a run; a reply that cannot be sent is one of a run that broke."""
    try:
        send(fd, reply)
    except FrameError:
        detail = "the results of the tests were too large"
        send(fd, RunReply(reply.token, "crashed", detail))
