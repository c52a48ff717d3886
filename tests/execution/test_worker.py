"""The worker on ordinary projects: each kind of suite, candidates, coverage, stages, cancelling."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from coe_lsp.execution.sandbox import Sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker, WorkerError

FIXED = "if value > high:\n        return high"
BROKEN = "if value > high:\n        return low"


def clamp_suite(root: Path) -> Suite:
    return Suite("pytest", root, root / "ranges.py", ("tests/test_ranges.py",))


def outcomes(run) -> dict[str, str]:
    return {result.id.rpartition("::")[2]: result.outcome for result in run.results}


@pytest.mark.parametrize("spawn", [False, True])
def test_pytest_reports_each_test_and_takes_candidates(clamp_project, worker_for, spawn):
    worker = worker_for(clamp_suite(clamp_project), spawn=spawn)
    source = (clamp_project / "ranges.py").read_bytes()
    run = worker.run()
    assert run.status == "completed"
    assert outcomes(run) == {"test_low": "passed", "test_high": "failed", "test_inside": "passed"}
    (failure,) = run.failures
    assert failure.detail.startswith("assert 0 == 10\n +  where 0 = clamp(15, 0, 10)")
    assert failure.output == "above\n"

    fixed = worker.run(source.decode().replace(BROKEN, FIXED).encode())
    assert (fixed.passed, fixed.failures) == (3, ())
    assert (clamp_project / "ranges.py").read_bytes() == source
    # The next candidate starts afresh, and a selection runs just what it names.
    again = worker.run(source, ["tests/test_ranges.py::test_high"])
    assert outcomes(again) == {"test_high": "failed"}


def test_broken_candidates_are_results_not_errors(clamp_project, worker_for):
    worker = worker_for(clamp_suite(clamp_project))
    syntax = worker.run(b"def clamp(value:\n    pass\n")
    assert [(r.outcome, r.line) for r in syntax.results] == [("error", 1)]
    assert "SyntaxError" in syntax.results[0].detail
    name = worker.run(b"x = 1\ny = nothing\ndef clamp(): ...\n")
    assert [(r.outcome, r.line) for r in name.results] == [("error", 2)]
    assert "NameError" in name.results[0].detail
    exits = worker.run(b"import sys\nsys.exit(3)\n")
    assert exits.failures and not exits.passed


def test_traceback_line_is_the_innermost_in_the_file(write, tmp_path, worker_for):
    write("deep.py", "def inner(x):\n    return 1 / x\n\n\ndef outer(x):\n    return inner(x)\n")
    write("test_deep.py", "from deep import outer\n\ndef test_it():\n    outer(0)\n")
    run = worker_for(Suite("pytest", tmp_path, tmp_path / "deep.py", ("test_deep.py",))).run()
    assert [(f.line, f.detail) for f in run.failures] == [
        (2, "ZeroDivisionError: division by zero")
    ]


def test_coverage_tells_lines_and_entries(clamp_project, worker_for):
    run = worker_for(clamp_suite(clamp_project)).run(coverage=True)
    lines = {test.rpartition("::")[2]: set(found) for test, found in run.lines.items()}
    assert lines == {"test_low": {2, 3}, "test_high": {2, 4, 5}, "test_inside": {2, 4, 6}}
    assert set(run.entries.values()) == {frozenset({1})}


def test_without_a_file_all_files_of_the_project_are_watched(write, tmp_path, worker_for):
    write("pkg/__init__.py", "")
    write("pkg/area.py", "from pkg import side\n\n\ndef square(x):\n    y = side.of(x)\n"
                         "    return y * y\n\n\ndef unused():\n    pass\n")  # fmt: skip
    write("pkg/side.py", "def of(x):\n    return len(x)\n")
    write("env/lib/site-packages/far.py", "def run():\n    return 1\n")
    write("test_area.py", "import sys\nfrom pkg import area\n\n\ndef test_square():\n"
                          "    assert area.square('ab') == 4\n\n\ndef test_number():\n"
                          "    sys.path.append('env/lib/site-packages')\n    import far\n"
                          "    far.run()\n    area.square(2)\n")  # fmt: skip
    run = worker_for(Suite("pytest", tmp_path, None, ("test_area.py",))).run(coverage=True)
    ran = {test.rpartition("::")[2]: found for test, found in run.files.items()}
    lines = {file: set(found) for file, found in ran["test_square"].lines.items()}
    assert lines == {"test_area.py": {6}, "pkg/area.py": {5, 6}, "pkg/side.py": {2}}
    # The test itself, what it calls, and what that calls.
    depths = {"test_area.py": {5: 0}, "pkg/area.py": {4: 1}, "pkg/side.py": {1: 2}}
    assert ran["test_square"].depths == depths
    assert set(ran["test_number"].lines) == {"test_area.py", "pkg/area.py", "pkg/side.py"}
    (failure,) = run.failures
    assert failure.stack == (("test_area.py", 13), ("pkg/area.py", 5), ("pkg/side.py", 2))
    assert failure.line is None and not run.lines


def test_an_empty_file_that_is_imported_late_has_no_lines(write, tmp_path, worker_for):
    write("pkg/__init__.py", "")
    write("pkg/area.py", "def square(x):\n    return x * x\n")
    write("test_area.py", "def test_square():\n    from pkg.area import square\n"
                          "    assert square(2) == 5\n")  # fmt: skip
    run = worker_for(Suite("pytest", tmp_path, None, ("test_area.py",))).run(coverage=True)
    assert (run.status, len(run.failures)) == ("completed", 1)
    (ran,) = run.files.values()
    assert {file: set(lines) for file, lines in ran.lines.items()} == {
        "test_area.py": {2, 3}, "pkg/area.py": {1, 2},
    }  # fmt: skip


def test_package_conftest_that_imports_the_target_still_takes_candidates(
    write, tmp_path, worker_for
):
    write("pkg/__init__.py", "from pkg.core import double\n")
    write("pkg/core.py", "def double(x):\n    return x + x + 1\n")
    write("conftest.py", "import pytest\nimport pkg\n\n@pytest.fixture\ndef double():\n"
                         "    return pkg.double\n")  # fmt: skip
    write("test_core.py", "def test_double(double):\n    assert double(2) == 4\n")
    worker = worker_for(Suite("pytest", tmp_path, tmp_path / "pkg/core.py", ("test_core.py",)))
    assert len(worker.run().failures) == 1
    assert worker.run(b"def double(x):\n    return x + x\n").passed == 1


def test_assertions_are_rewritten_once_also_where_the_conftest_imports_the_target(
    write, tmp_path, worker_for
):
    """Rewriting is most of what a child would do over again; the detail must stay what it was."""
    write("core.py", "def double(x):\n    return x + x + 1\n")
    conftest = (
        "import core\nfrom _pytest.assertion import rewrite\n"
        "seen, own = [], rewrite.rewrite_asserts\n"
        "def spy(tree, source, path, config):\n"
        "    seen.append(path)\n    return own(tree, source, path, config)\n"
        "rewrite.rewrite_asserts = spy\n"
        "import pytest\n@pytest.fixture\ndef rewritten():\n    return seen\n"
    )
    write("conftest.py", conftest)
    tests = (
        "import core\ndef test_double():\n    assert core.double(2) == 4\n"
        "def test_not_again(rewritten):\n    assert rewritten == []\n"
    )
    path = write("test_core.py", tests)
    worker = worker_for(Suite("pytest", tmp_path, tmp_path / "core.py", ("test_core.py",)))
    failed = [[failure.detail for failure in worker.run().failures] for _ in range(3)]
    assert [len(details) for details in failed] == [2, 1, 1]
    assert all("assert 5 == 4" in details[0] for details in failed)
    path.write_text(tests.replace("== 4", "== 40"))  # another text is rewritten again
    assert [f.detail for f in worker.run().failures if "== 40" in f.detail]


def test_target_that_pytest_itself_imports(worker_for):
    import iniconfig

    path = Path(iniconfig.__file__)
    root = path.parent
    source = path.read_bytes()
    suite = Suite(
        "asserts",
        root,
        path,
        statements=("assert IniConfig('x', data='[a]\\nb=1')['a']['b'] == '1'",),
    )
    assert worker_for(suite).run(source).passed == 1


def test_a_test_module_as_target_keeps_assertion_detail(write, tmp_path, worker_for):
    path = write("test_self.py", "def add(a, b):\n    return a - b\n\n\ndef test_add():\n"
                                 "    assert add(1, 2) == 3\n")  # fmt: skip
    worker = worker_for(Suite("pytest", tmp_path, path, ("test_self.py",)))
    assert "where -1 = add(1, 2)" in worker.run(path.read_bytes()).failures[0].detail
    assert worker.run(path.read_bytes().replace(b"a - b", b"a + b")).passed == 1


def test_user_plugins_and_options_apply(write, tmp_path, worker_for):
    write("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "-v --strict-markers -x"\n'
                            'markers = ["odd: odd ones"]\npython_files = "check_*.py"\n')  # fmt: skip
    write("mod.py", "VALUE = 3\n")
    write("check_mod.py", "import mod, pytest\n\n@pytest.mark.odd\n@pytest.mark.parametrize('n', [1, 2])\n"
                          "def test_value(n, tmp_path, capsys, monkeypatch):\n"
                          "    (tmp_path / 'f').write_text('x')\n    print('seen')\n"
                          "    assert capsys.readouterr().out == 'seen\\n'\n"
                          "    assert mod.VALUE == 3\n")  # fmt: skip
    run = worker_for(Suite("pytest", tmp_path, tmp_path / "mod.py", ("check_mod.py",))).run()
    assert outcomes(run) == {"test_value[1]": "passed", "test_value[2]": "passed"}


def test_unittest_without_pytest(write, tmp_path, worker_for):
    write("mod.py", "def half(x):\n    return x // 3\n")
    write("test_mod.py", "import unittest\nfrom mod import half\n\nclass TestHalf(unittest.TestCase):\n"
                         "    def test_even(self):\n        self.assertEqual(half(4), 2)\n"
                         "    def test_zero(self):\n        self.assertEqual(half(0), 0)\n"
                         "    @unittest.skip('later')\n    def test_odd(self): ...\n")  # fmt: skip
    worker = worker_for(Suite("unittest", tmp_path, tmp_path / "mod.py", ("test_mod.py",)))
    run = worker.run(coverage=True)
    assert outcomes(run) == {"test_even": "failed", "test_zero": "passed", "test_odd": "skipped"}
    assert run.failures[0].detail == "AssertionError: 1 != 2"
    assert run.lines["test_mod.py::TestHalf::test_even"] == {2}
    assert not worker.run(b"def half(x):\n    return x // 2\n").failures


def test_doctests(write, tmp_path, worker_for):
    path = write(
        "mod.py",
        'def half(x):\n    """Half.\n\n    >>> half(4)\n    2\n    """\n    return x // 3\n',
    )
    worker = worker_for(Suite("doctest", tmp_path, path))
    run = worker.run()
    assert [(r.id, r.detail) for r in run.failures] == [
        ("doctest::mod.half", "half(4): expected 2, got 1")
    ]
    assert worker.run(path.read_bytes().replace(b"3\n", b"2\n")).passed == 1


def test_asserts_on_a_program_without_a_file(tmp_path, worker_for):
    suite = Suite("asserts", tmp_path, None, setup="import math",
                  statements=("assert area(1) == math.pi", "assert area(2) > 12", "area('x')"))  # fmt: skip
    worker = worker_for(suite)
    run = worker.run(b"def area(r):\n    return math.pi * r\n")
    assert outcomes(run) == {"assert 1": "passed", "assert 2": "failed", "assert 3": "failed"}
    assert (
        run.failures[0].detail
        == "assert 6.283185307179586 > 12\n +  where 6.283185307179586 = area(2)"
    )
    assert run.failures[1].line == 2
    assert worker.run(b"def area(r:\n").failures[0].line == 1
    fixed = worker.run(b"def area(r):\n    return math.pi * r * r if r != 'x' else 0\n")
    assert (fixed.passed, fixed.failures) == (3, ())


@pytest.mark.timing
def test_cancel_ends_a_run_quickly(write, tmp_path, worker_for):
    write("mod.py", "import time\n\ndef wait():\n    time.sleep(60)\n")
    write("test_mod.py", "from mod import wait\n\ndef test_wait():\n    wait()\n")
    suite = Suite("pytest", tmp_path, tmp_path / "mod.py", ("test_mod.py",))
    worker = worker_for(suite, Limits(wall_seconds=50, test_seconds=50))
    worker.run(b"def wait(): ...\n")
    cancelled_at = []

    def cancel():
        time.sleep(0.5)
        cancelled_at.append(time.monotonic())
        worker.cancel()

    threading.Thread(target=cancel).start()
    run = worker.run()
    assert run.status == "cancelled"
    assert time.monotonic() - cancelled_at[0] < 0.2
    assert worker.run(b"def wait(): ...\n").passed == 1


def test_no_pytest_says_so(clamp_project, sandbox, tmp_path_factory):
    import venv

    from coe_lsp.execution.interpreter import probe

    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    interpreter = probe(folder / "bin" / "python", clamp_project, sandbox)
    assert not interpreter.has_pytest
    with pytest.raises(WorkerError, match="has no pytest: install it there"):
        Worker(clamp_suite(clamp_project), interpreter, sandbox).run()


def test_bad_configuration_says_so(clamp_project, write, worker_for):
    write("pytest.ini", "[pytest]\naddopts = --no-such-option\n")
    with pytest.raises(WorkerError, match="no-such-option"):
        worker_for(clamp_suite(clamp_project)).run()


def test_without_sandbox_the_same_results(clamp_project, interpreter):
    with Worker(clamp_suite(clamp_project), interpreter, Sandbox("off")) as worker:
        assert outcomes(worker.run())["test_high"] == "failed"
        assert not (clamp_project / "tests" / "__pycache__").exists()


@pytest.mark.parametrize(
    "options",
    [
        "addopts = '--ff'",
        "addopts = '--lf -x'",
        "cache_dir = '.c'\nfilterwarnings = ['error::pytest.PytestConfigWarning']",
    ],
)
def test_options_of_the_cache_plugin_are_the_users_right(clamp_project, worker_for, options):
    text = f"[tool.pytest.ini_options]\n{options}\n"
    (clamp_project / "pyproject.toml").write_text(text)
    run = worker_for(clamp_suite(clamp_project)).run()
    assert outcomes(run) == {"test_low": "passed", "test_high": "failed", "test_inside": "passed"}
    assert not (clamp_project / ".c").exists()


_SUITES = {
    "pytest": """
        import code_

        def test_one(): code_.one()
        def test_two(): code_.two()
        def test_three(): code_.three()
    """,
    "unittest": """
        import unittest
        import code_

        class Test(unittest.TestCase):
            def test_1_one(self): code_.one()
            def test_2_two(self): code_.two()
            def test_3_three(self): code_.three()
    """,
}


@pytest.mark.parametrize("kind", ["pytest", "unittest", "asserts"])
@pytest.mark.parametrize(
    ("code", "limits", "expected"),
    [
        ("1 / 0", Limits(timeouts=1), ["failed", "failed", "failed"]),
        ("while True: pass", Limits(cpu_seconds=0.05, timeouts=1), ["timeout"]),
        ("__import__('time').sleep(9)", Limits(test_seconds=0.1, timeouts=2), ["timeout"] * 2),
    ],
)
@pytest.mark.timing
def test_a_run_ends_after_so_many_tests_that_hang(
    write, tmp_path, worker_for, kind, code, limits, expected
):
    functions = "".join(f"def {name}():\n    {code}\n" for name in ("one", "two", "three"))
    if kind == "asserts":
        suite = Suite(kind, tmp_path, None, statements=("one()", "two()", "three()"))
    else:
        write("code_.py", functions)
        write("test_code.py", _SUITES[kind])
        suite = Suite(kind, tmp_path, tmp_path / "code_.py", ("test_code.py",))
    worker = worker_for(suite)
    run = worker.run(functions.encode(), limits=limits)
    assert [result.outcome for result in run.results] == expected, run.results
    assert len(run.collected) == 3
    assert run.seconds < 3
    # And the worker is none the worse for it.
    assert worker.run(b"def one(): 1\ndef two(): 1\ndef three(): 1\n").passed == 3


_SLOW_TO_REPORT = """
import time

def {hook}({argument}):
    end = time.process_time() + {seconds}
    while time.process_time() < end:
        pass
"""


@pytest.mark.parametrize(
    ("hook", "argument", "seconds", "expected"),
    [
        ("pytest_runtest_logreport", "report", 0.2, ["failed", "passed"]),
        ("pytest_runtest_makereport", "call", 0.2, ["failed", "passed"]),
        ("pytest_runtest_makereport", "call", 60, ["timeout"]),
    ],
)
def test_the_time_that_a_report_takes_is_not_the_test_s(
    write, tmp_path, worker_for, hook, argument, seconds, expected
):
    write("code_.py", "def one(): return 1\n")
    write("conftest.py", _SLOW_TO_REPORT.format(hook=hook, argument=argument, seconds=seconds))
    write(
        "test_code.py",
        "from code_ import one\n\ndef test_one(): assert one() == 2\n\ndef test_two(): one()\n",
    )
    worker = worker_for(Suite("pytest", tmp_path, tmp_path / "code_.py", ("test_code.py",)))
    run = worker.run(limits=Limits(wall_seconds=20, test_seconds=3, cpu_seconds=0.1))
    assert [result.outcome for result in run.results] == expected, run.results


_SUBTESTS = """
    import unittest
    from code_ import one

    class Test(unittest.TestCase):
        def test_parts(self):
            for n in (1, 2):
                with self.subTest(n=n):
                    assert one() == n
            while True:
                pass
"""


def test_a_test_that_hangs_after_a_subtest_has_not_passed(write, tmp_path, worker_for):
    """A subtest's report is made in the middle of its test."""
    write("code_.py", "def one(): return 1\n")
    write("test_code.py", _SUBTESTS)
    write(
        "test_more.py",
        "from code_ import one\n\ndef test_parts(subtests):\n"
        "    with subtests.test('a'): assert one() == 1\n    while True: pass\n",
    )
    files = ["test_code.py"]
    if int(pytest.__version__.partition(".")[0]) >= 9:  # brings subtests
        files.append("test_more.py")
    worker = worker_for(Suite("pytest", tmp_path, tmp_path / "code_.py", tuple(files)))
    run = worker.run(limits=Limits(wall_seconds=20, test_seconds=0.5))
    assert run.status == "completed"
    last = {result.id: result.outcome for result in run.results}
    assert len(last) == len(files)
    assert "passed" not in last.values()


def test_a_bracket_in_the_project_s_path_is_no_parameter(clamp_project, tmp_path, worker_for):
    root = shutil.copytree(clamp_project, tmp_path / "my [x] project")
    run = worker_for(clamp_suite(root)).run(select=["tests/test_ranges.py::test_high"])
    assert outcomes(run) == {"test_high": "failed"}
