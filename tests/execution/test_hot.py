"""Candidates that run hot, in a program already imported: as an ordinary run, only quicker."""

import os
import statistics
import threading
import time
from pathlib import Path
from textwrap import dedent

import pytest

from coe_lsp.execution.suite import Limits, Preforked, Suite
from coe_lsp.execution.worker import Worker

MODULE = """
import functools
import os

LIMIT = 10


def noisy(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def early():
    return 3


TABLE = [early()] * 3


@noisy
def decorated(value):
    return value + 2


@functools.lru_cache
def cached(value):
    return value * 3


def default(value, step=2):
    return value + step


def outer(value):
    def inner(other):
        return other - 1

    return inner(value)


def limit():
    return LIMIT


def several(count):
    return [n for n in range(count)]


class Base:
    def hello(self):
        return "base"


class Shelf(Base):
    size = 4

    def __init__(self):
        self.items = []

    def hello(self):
        return super().hello() + "?"

    @property
    def free(self):
        return self.size + len(self.items)

    @staticmethod
    def kind():
        return "shelve"


if LIMIT:

    class Box:
        class Lid:
            __weight = 1

            def heavy(self):
                return self.__weight + 1


def table():
    return sum(TABLE)


def counted():
    yield 1


COUNTED = counted()


def told():
    "Tells 1."


def broken():
    return 1 / (LIMIT - LIMIT)
"""

TESTS = """
import pytest
from shelf import (
    COUNTED, Box, Shelf, broken, cached, decorated, default, limit, outer, several, table, told,
)


def test_decorated():
    assert decorated(1) == 2


def test_cached():
    assert cached(2) == 4


def test_default():
    assert default(1) == 2


def test_outer():
    assert outer(1) == 2


def test_limit():
    assert limit() == 11


@pytest.mark.parametrize("count", [1, 2])
def test_several(count):
    assert list(several(count)) == list(range(1, count + 1))


def test_free():
    assert Shelf().free == 3


def test_hello():
    assert Shelf().hello() == "base!"


def test_kind():
    assert Shelf.kind() == "shelf"


def test_heavy():
    assert Box.Lid().heavy() == 1


def test_table():
    assert table() == 6


def test_counted():
    assert next(COUNTED) == 2


def test_told():
    assert told.__doc__ == "Tells 2."


def test_broken():
    with pytest.raises(ZeroDivisionError) as caught:
        broken()
    assert str(caught.traceback[-1].statement).strip() == "return 1 / (LIMIT - LIMIT)"
"""

BASE = MODULE.encode()

# What changes, to what, whether the candidate can run hot, and what it wins.
CHANGES = [
    ("value + 2", "value + 1", True, {"test_decorated"}),
    ("value * 3", "value * 2", True, {"test_cached"}),
    ("other - 1", "other + 1", True, {"test_outer"}),
    ("return LIMIT", "return LIMIT + 1", True, {"test_limit"}),
    ("self.size + len", "-1 + self.size + len", True, {"test_free"}),
    ('hello() + "?"', 'hello() + "!"', True, {"test_hello"}),
    ('return "shelve"', 'kind = "shelf"\n        return kind', True, {"test_kind"}),
    ("self.__weight + 1", "self.__weight", True, {"test_heavy"}),
    ("return value * 3\n", "value *= 2\n    return value\n", True, {"test_cached"}),
    ("    return LIMIT\n", "\n    # The next one.\n    return LIMIT + 1\n", True, {"test_limit"}),
    ("sum(TABLE)", "os._exit(3)", True, set()),
    ("return sum(TABLE)", "while True: pass", True, set()),
    # Bodies that ran at import, code of another kind, and anything outside of functions.
    ("return 3\n", "return 2\n", False, {"test_table"}),
    ("return [n for n in range(count)]", "yield from range(1, count + 1)", False,
     {"test_several[1]", "test_several[2]"}),
    ("step=2", "step=1", False, {"test_default"}),
    ("LIMIT = 10", "LIMIT = 11", False, {"test_limit"}),
    ("size = 4", "size = 3", False, {"test_free"}),
    ("yield 1", "yield 2", False, {"test_counted"}),
    ('"Tells 1."', '"Tells 2."', False, {"test_told"}),
    ("def table():", "def table(:", False, set()),
    ('return "shelve"\n', 'return "shelf"\n\n\nLIMIT = 11\n', False, {"test_kind", "test_limit"}),
]  # fmt: skip


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "shelf.py").write_text(MODULE)
    (tmp_path / "test_shelf.py").write_text(TESTS)
    return Suite("pytest", tmp_path, tmp_path / "shelf.py", ("test_shelf.py",))


@pytest.fixture
def worker(shelf, interpreter, sandbox):
    limits = Limits(wall_seconds=10, test_seconds=0.5, cpu_seconds=0.3, timeouts=1)
    with Worker(shelf, interpreter, sandbox, limits) as worker:
        worker.run()
        yield worker


def preforked(*tests):
    return Preforked(BASE, frozenset(tests))


def wins(run):
    passed = {result.id.partition("::")[2] for result in run.results if result.outcome == "passed"}
    return passed - {"test_broken"}


def test_a_hot_candidate_does_what_a_fresh_import_of_it_does(worker):
    failing = [result.id for result in worker.run(BASE).failures]
    assert len(failing) == 14
    # It looks at a traceback, and passes as long as the lines are right.
    failing.append("test_shelf.py::test_broken")
    program = Preforked(BASE, frozenset(failing))
    for old, new, can_run_hot, won in CHANGES:
        assert MODULE.count(old) == 1, old
        candidate = MODULE.replace(old, new).encode()
        hot = worker.run(candidate, failing, hot=program)
        assert (hot.hot, wins(hot)) == (can_run_hot, won), (old, new)
        fresh = worker.run(candidate, failing)
        assert not fresh.hot
        assert wins(fresh) == won
        assert fresh.status == hot.status
        assert [(r.id, r.outcome) for r in fresh.results] == [
            (r.id, r.outcome) for r in hot.results
        ]
    # Nothing of all that stayed behind.
    assert wins(worker.run(BASE, failing, hot=program)) == set()


def test_a_selection_and_its_order_are_kept(worker):
    chosen = ["test_shelf.py::test_table", "test_shelf.py::test_cached"]
    program = preforked(*chosen)
    assert worker.run(BASE, chosen, hot=program).hot
    run = worker.run(BASE, chosen[1:], hot=program)
    assert [result.id for result in run.results] == chosen[1:]
    chosen = ["test_shelf.py::test_kind", *chosen[::-1]]
    assert not worker.run(BASE, chosen, hot=program).hot  # two of them were collected
    run = worker.run(BASE, chosen, hot=preforked(*chosen))
    assert run.hot
    assert [r.id.partition("::")[2] for r in run.results] == [
        "test_kind", "test_cached", "test_table",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("shelf.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"),
        ("shelf.py", "import tempfile\nKEPT = tempfile.mkdtemp()\n"),
        ("test_shelf.py", "import nowhere_to_be_found\n"),
    ],
    ids=["thread", "file", "collection"],
)  # fmt: skip
def test_what_cannot_be_preforked_runs_the_ordinary_way(
    shelf, interpreter, sandbox, tmp_path, place, text
):
    (tmp_path / place).write_text(text + (tmp_path / place).read_text())
    source = (tmp_path / "shelf.py").read_bytes()
    program = Preforked(source, frozenset({"test_shelf.py::test_cached"}))
    with Worker(shelf, interpreter, sandbox) as worker:
        for _ in range(2):
            run = worker.run(source, ["test_shelf.py::test_cached"], hot=program)
            assert run.status == "completed"
            assert run.failures
            assert not run.hot


def test_a_file_that_conftest_imports_can_be_preforked_too(shelf, interpreter, sandbox, tmp_path):
    (tmp_path / "conftest.py").write_text("import shelf\n")
    chosen = ["test_shelf.py::test_cached"]
    with Worker(shelf, interpreter, sandbox) as worker:
        worker.run()
        run = worker.run(BASE.replace(b"value * 3", b"value * 2"), chosen, hot=preforked(*chosen))
        assert run.hot
        assert wins(run) == {"test_cached"}


@pytest.mark.slow
@pytest.mark.timing
def test_running_hot_is_quicker(shelf, interpreter, sandbox, tmp_path):
    many = "".join(
        dedent(f"""
        def test_more_{n}():
            assert cached({n + 1}) == {n + 1}
        """)
        for n in range(100)
    )
    (tmp_path / "test_shelf.py").write_text(TESTS + many)
    chosen = ["test_shelf.py::test_cached"]
    program = preforked(*chosen)
    times: dict[bool, list[float]] = {True: [], False: []}
    with Worker(shelf, interpreter, sandbox) as worker:
        for _ in range(9):
            for hot in (True, False):
                started = time.perf_counter()
                worker.run(BASE, chosen, hot=program if hot else None)
                times[hot].append(time.perf_counter() - started)
    assert statistics.median(times[True]) < 0.7 * statistics.median(times[False])


@pytest.mark.timing
def test_cancel_ends_a_hot_candidate(worker):
    chosen = ["test_shelf.py::test_table"]
    program = preforked(*chosen)
    assert worker.run(BASE, chosen, hot=program).hot
    hanging = BASE.replace(b"return sum(TABLE)", b"import time; time.sleep(60)")
    limits = Limits(wall_seconds=60, test_seconds=60)
    threading.Timer(0.5, worker.cancel).start()
    started = time.monotonic()
    run = worker.run(hanging, chosen, hot=program, limits=limits)
    assert run.status == "cancelled"
    assert time.monotonic() - started < 5
    assert worker.run(BASE, chosen, hot=program).hot


def test_no_process_of_a_hot_candidate_survives(worker):
    chosen = ["test_shelf.py::test_table"]
    program = preforked(*chosen)
    assert worker.run(BASE, chosen, hot=program).hot
    mark = f"coe-survivor-{os.getpid()}"
    loop = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 600; echo {mark}'], start_new_session=True)"
    run = worker.run(BASE.replace(b"return sum(TABLE)", loop.encode()), chosen, hot=program)
    assert run.hot
    assert run.failures
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if mark.encode() in command]


def test_a_candidate_that_stops_the_prefork_server_is_run_the_ordinary_way(worker):
    """The worker waited for it without a clock of its own: the run was lost, its process as well."""
    chosen = ["test_shelf.py::test_cached", "test_shelf.py::test_table"]
    program = preforked(*chosen)
    assert worker.run(BASE, chosen, hot=program).hot
    stops = b"import signal; os.kill(os.getppid(), signal.SIGSTOP); return 6"
    limits = Limits(wall_seconds=2, test_seconds=1)
    run = worker.run(BASE.replace(b"return sum(TABLE)", stops), chosen, limits=limits, hot=program)
    assert (run.status, run.hot, wins(run)) == ("completed", False, {"test_table"})
    assert worker.run(BASE, chosen, hot=program).hot


def test_a_program_that_never_comes_to_be_preforked_costs_no_run(
    shelf, interpreter, sandbox, tmp_path
):
    """Each candidate was given up as one that takes too long."""
    hang = "import sys, time\nif sys.gettrace(): time.sleep(60)\n"
    (tmp_path / "test_shelf.py").write_text(hang + TESTS)
    chosen = ["test_shelf.py::test_cached"]
    with Worker(shelf, interpreter, sandbox, Limits(wall_seconds=2)) as worker:
        for _ in range(2):
            run = worker.run(BASE, chosen, hot=preforked(*chosen))
            assert (run.status, run.hot, len(run.failures)) == ("completed", False, 1)
