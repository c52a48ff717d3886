"""Repairs from end to end with a scripted policy: real files, real worker, real tests."""

import contextlib
import time
from pathlib import Path

import pytest
from attrs import evolve
from red_tests import Told
from samples import CLAMP, TEST_CLAMP

from coe_lsp.errors import CoeError
from coe_lsp.execution.localization import FaultLocalization
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy, Proposal
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.target.baseline import measure
from coe_lsp.repair.target.hints import read_clues
from coe_lsp.repair.verify import Verifier
from coe_lsp.repair.way_in import way_of


class Scripted:
    """The nth chain begun at the start gets the nth script's commands; EXIT where there is none."""

    def __init__(self, *chains):
        self.chains = chains
        self.seen = []
        self._begun = 0
        self._place = {}
        self._asked = []

    def read(self, start):
        return True

    def ask(self, request):
        if request.parent is None:
            self._place[request.id] = self._begun, 0
            self._begun += 1
        else:
            chain, turn = self._place[request.parent]
            self._place[request.id] = chain, turn + 1
        self.seen.append(request.episode.pad)
        self._asked.append(request.id)
        return True

    def step(self):
        asked, self._asked = self._asked, []
        return [Proposal(id, self._command(*self._place[id]), -1.0) for id in asked]

    def _command(self, chain, turn):
        turns = self.chains[chain] if chain < len(self.chains) else ()
        return turns[turn] if turn < len(turns) else "### EXIT"

    def logprob_ratios(self, start, line, variants):
        return [0.0] * len(variants)

    def likelihoods(self, start, texts):
        return [0.0] * len(texts)

    def forget(self, id):
        pass

    def interrupt(self):
        pass


class Log:
    def __init__(self):
        self.events = []

    def baseline(self, baseline, suites):
        self.events.append(("baseline", baseline.passed, len(baseline.failing)))

    def scouted(self, scouted):
        self.events.append(("scouted", len(scouted.passed), len(scouted.targets)))

    def target(self, file, function, target_tests):
        self.events.append(("target", function.name))

    def step(self, step):
        self.events.append((step.candidate, step.turn, step.command, step.passed, step.total))


def repair(path: Path, policy, log=None, **request):
    model = ModelUsed("scripted", "", None)
    loaded = LoadedPolicy(policy, model, trained=True, judge=policy)
    load = lambda: contextlib.nullcontext(loaded)  # noqa: E731
    search = SearchSettings(mutations=False, grace=0.1)
    request = {"budget": 5.0, "samples": 2, "search": search} | request
    how = {"tests", "python", "sandbox"}
    options = ProjectOptions(**{name: request.pop(name) for name in how & request.keys()})
    function = request.pop("function", None)
    return Repair(
        Request(way_of(path, function), options=options, **request), load, log or Log()
    ).run()


def repaired_bytes(outcome):
    (source,) = outcome.repaired.values()
    return source.encode(source.lines)


FIX = "### REPL 5 >>>        return high"


def test_a_chain_of_two_edits(clamp_project):
    path = clamp_project / "ranges.py"
    before = path.read_bytes()
    policy = Scripted(
        ["### DELL 9", "### DELL 1"], ["### REPW 5 >>>low >>>value", "### REPW 5 >>>value >>>high"]
    )
    log = Log()
    outcome = repair(path, policy, log)
    assert outcome.status == "repaired"
    assert outcome.function == "clamp"
    assert [link.command for link in outcome.chain] == policy.chains[1]
    assert [(link.passed, link.failed) for link in outcome.chain] == [(2, 1), (3, 0)]
    assert (outcome.before.failed, outcome.after.failed) == (1, 0)
    assert "-        return low\n+        return high\n" in outcome.diff
    assert repaired_bytes(outcome) == before.replace(
        b"high:\n        return low", b"high:\n        return high"
    )
    assert path.read_bytes() == before
    assert log.events[:2] == [("baseline", 2, 1), ("target", "clamp")]


def test_tests_that_did_not_run_do_not_pass(clamp_project, monkeypatch):
    """The time for the tests was up, say: nobody knows whether those that were left pass."""
    path = clamp_project / "ranges.py"
    text = path.read_text()
    path.write_text(text.replace("high:\n        return low", "high:\n        return high"))
    assert repair(path, Scripted([FIX])).status == "already_passing"

    def cut_short(*arguments):
        found = measure(*arguments)
        (last,) = list(found.results)[-1:]
        left = {test: result for test, result in found.results.items() if test != last}
        return evolve(found, results=left, missing=(last,), detail="still running after 60 s")

    monkeypatch.setattr("coe_lsp.repair.file_sites.measure", cut_short)
    with pytest.raises(CoeError, match="1 of the tests for ranges.py did not run .still running"):
        repair(path, Scripted([FIX]))


def test_what_was_run_once_more_is_not_run_again_to_be_told(clamp_project, monkeypatch):
    late = []
    judge = Verifier.judge

    def spy(self, lines, **how):
        if how.get("late"):
            late.append(lines)
        return judge(self, lines, **how)

    monkeypatch.setattr(Verifier, "judge", spy)
    edits = ["### REPW 5 >>>low >>>value", "### REPW 5 >>>value >>>high"]
    assert len(repair(clamp_project / "ranges.py", Scripted(edits)).chain) == 2
    assert [lines[4] for lines in late] == ["        return value"]


def test_json_form(clamp_project):
    body = repair(clamp_project / "ranges.py", Scripted([FIX])).to_json()
    assert list(body) == [
        "schema", "status", "file", "function", "diff", "before", "after", "chain", "attempts",
        "tests_run", "seconds", "model", "message", "patches", "partly", "places",
    ]  # fmt: skip
    assert body["chain"] == [{"command": FIX, "feedback": "", "passed": 3, "failed": 0}]
    assert body["model"] == {"name": "scripted", "sha256": "", "adapter": None}
    assert body["schema"] == 1
    assert set(body["seconds"]) == {"total", "first", "model", "tests"}
    assert 0 < body["seconds"]["first"] < body["seconds"]["total"]


@pytest.mark.timing
def test_failure_keeps_the_closest_chain(clamp_project):
    outcome = repair(clamp_project / "ranges.py", Scripted(), budget=1.0)
    assert outcome.status == "failed"
    assert outcome.repaired == {} and outcome.diff == ""
    assert outcome.seconds.total < 10


def test_passing_tests_need_no_model(clamp_project):
    path = clamp_project / "ranges.py"
    path.write_text(
        path.read_text().replace("high:\n        return low", "high:\n        return high")
    )
    log = Log()

    def load():
        raise AssertionError("the model must not be loaded")

    outcome = Repair(Request(way_of(path)), load, log).run()
    assert outcome.status == "already_passing"


def test_a_repair_that_breaks_another_test_is_none(write, tmp_path):
    write("pyproject.toml", "")
    write("pair.py", "def base():\n    return 1\n\n\ndef twice():\n    return base() + 2\n")
    write("test_pair.py", "from pair import base, twice\n\ndef test_base():\n    assert base() == 1\n\n"
                          "def test_twice():\n    assert twice() == 2\n")  # fmt: skip
    wrong = "### REPL 2 >>>    return 0"
    outcome = repair(tmp_path / "pair.py", Scripted([wrong]), function="base", budget=1.0)
    assert outcome.status == "failed"
    right = "### REPL 2 >>>    return base() * 2"
    assert repair(tmp_path / "pair.py", Scripted([right]), function="twice").status == "repaired"


def test_crlf_tabs_and_bom_survive(write, tmp_path):
    write("pyproject.toml", "")
    path = tmp_path / "mod.py"
    path.write_bytes(
        b"\xef\xbb\xbf# caf\xc3\xa9\r\ndef half(x):\r\n\treturn x // 3\r\n\r\nLAST = 1"
    )
    write("test_mod.py", "from mod import half\n\ndef test_half():\n    assert half(4) == 2\n")
    outcome = repair(path, Scripted(["### REPW 2 >>>3 >>>2"]))
    assert repaired_bytes(outcome) == path.read_bytes().replace(b"3\r\n", b"2\r\n")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"function": "grow"}, r"no function `grow`; it has `clamp`"),
        ({"tests": ("tests/none.py",)}, r"There is no tests/none.py"),
        ({"python": "/nonexistent/python"}, r"does not work as a Python interpreter"),
    ],
)
def test_bad_requests(clamp_project, request_, message):
    with pytest.raises(CoeError, match=message):
        repair(clamp_project / "ranges.py", Scripted(), **request_)


def test_a_function_that_no_failing_test_runs_is_refused(write):
    write("pyproject.toml", "")
    path = write("mod.py", "def one():\n    return 2\n\n\ndef two():\n    return 2\n")
    write(
        "test_mod.py",
        """
        from mod import one, two

        def test_one():
            assert one() == 1

        def test_two():
            assert two() == 2
        """,
    )
    with pytest.raises(CoeError, match=r"No failing test runs `two`; those that fail run `one`\."):
        repair(path, Scripted(), function="two")


def test_no_tests_and_no_file(write, tmp_path):
    write("pyproject.toml", "")
    lonely = write("lonely.py", "def f():\n    return 1\n")
    with pytest.raises(CoeError, match=r"No tests were found for lonely.py.*--tests"):
        repair(lonely, Scripted())
    with pytest.raises(CoeError, match=r"There is no file"):
        repair(tmp_path / "missing.py", Scripted())
    assert repair(
        lonely, Scripted(["### REPL 2 >>>    return 2"]), tests=("assert f() == 2",)
    ).status == ("repaired")


def test_syntax_error_in_the_file(write, tmp_path):
    write("pyproject.toml", "")
    path = write("mod.py", "def one():\n    return (1\n\n\ndef two():\n    return 2\n")
    write("test_mod.py", "from mod import one, two\n\ndef test_one():\n    assert one() == 1\n")
    outcome = repair(path, Scripted(["### REPL 2 >>>    return 1"]))
    assert (outcome.status, outcome.function) == ("repaired", "one")


def test_a_skipped_test_is_no_proof(write, tmp_path):
    path = write("loading.py", "def load(n):\n    return {}\n")
    write("pyproject.toml", "")
    write(
        "test_loading.py",
        """
        import pytest
        from loading import load

        def test_load():
            got = load(1)
            if got is None:
                pytest.skip("nothing there")
            assert got == {"n": 1}
        """,
    )
    assert repair(path, Scripted(["### REPL 2 >>>    return None"])).status == "failed"
    fixed = repair(path, Scripted(["### REPL 2 >>>    return {'n': n}"]))
    assert fixed.status == "repaired"


@pytest.mark.parametrize("folder", ["programs", "doctests", "assert 1"])
def test_folders_may_be_called_what_they_like(write, tmp_path, folder):
    path = write(f"{folder}/ranges.py", CLAMP)
    write(f"{folder}/test_ranges.py", TEST_CLAMP)
    write(
        "pyproject.toml",
        "[tool.pytest.ini_options]\npythonpath = ['.', 'programs', 'doctests', 'assert 1']\n",
    )
    outcome = repair(path, Scripted([FIX]))
    assert (outcome.status, outcome.function) == ("repaired", "clamp")


@pytest.mark.timing
def test_hanging_candidates_do_not_outlast_the_budget(clamp_project):
    path = clamp_project / "ranges.py"
    hang = [[f"### REPL 5 >>>        while value != {n} or True: pass"] for n in range(40)]
    started = time.monotonic()
    outcome = repair(path, Scripted(*hang), budget=2.0, samples=40)
    assert outcome.status == "failed"
    assert time.monotonic() - started < 12  # one candidate takes 1.5 s to be given up


def test_a_model_that_takes_long_to_load_takes_nothing_of_the_budget(clamp_project):
    model = ModelUsed("scripted", "", None)

    @contextlib.contextmanager
    def load():
        time.sleep(2.5)
        yield LoadedPolicy(Scripted([FIX]), model, trained=True)

    search = SearchSettings(mutations=False, grace=0.1)
    request = Request(way_of(clamp_project / "ranges.py"), budget=2.0, search=search)
    assert Repair(request, load, Log()).run().status == "repaired"


def test_what_mutations_repair_in_their_head_start_needs_no_model(clamp_project):
    def load():
        raise AssertionError("the model must not be loaded")

    request = Request(way_of(clamp_project / "ranges.py"), budget=40.0)
    outcome = Repair(request, load, Log(), head_start=10.0).run()
    assert outcome.status == "repaired"
    assert outcome.model is None


def test_tests_that_did_not_run_are_named(write, tmp_path):
    path = write("ranges.py", CLAMP)
    write("pyproject.toml", "")
    write(
        "test_ranges.py",
        TEST_CLAMP
        + "\n    def test_exit():\n        import os\n        os._exit(0)\n\n    def test_last():\n        pass\n",
    )
    seen = []

    class Watching(Log):
        def baseline(self, baseline, suites):
            seen.append(baseline.missing)

    repair(path, Scripted([]), Watching(), budget=0.5)
    assert seen == [("test_ranges.py::test_last",)]


def test_of_a_long_function_the_model_sees_what_is_suspect(write, tmp_path):
    write("pyproject.toml", "")
    steps = "".join(f"    if kind == {n}:\n        total += {n}\n" for n in range(200))
    steps = steps.replace("total += 150\n", "total -= 150\n")
    path = write("big.py", f"def add(total, kind):\n{steps}    return total\n")
    write(
        "test_big.py",
        """
        from big import add

        def test_early():
            assert add(1, 4) == 5

        def test_late():
            assert add(1, 150) == 151
    """,
    )
    policy = Scripted(["### REPL 303 >>>        total += 150"])
    outcome = repair(path, policy)
    assert outcome.status == "repaired"
    seen = policy.seen[0].render()
    assert "303 >>>        total -= 150" in seen
    assert "1 >>>def add(total, kind):\n" in seen
    assert "\n...\n" in seen and len(seen) < 4000
    without = Repair(Request(way_of(path)), None, Log()).run()
    assert without.status == "repaired"
    assert without.diff == outcome.diff


def test_a_helper_of_the_named_function_is_repaired(write, tmp_path):
    write("pyproject.toml", "")
    path = write("shop.py", """
        def price(count):
            return count - 3


        def total(counts):
            return sum([price(count) for count in counts])
    """)  # fmt: skip
    write("test_shop.py", """
        from shop import total

        def test_total():
            assert total([5]) == 15
            assert total([5, 7]) == 36
    """)  # fmt: skip
    outcome = Repair(Request(way_of(path, "total"), budget=20.0), None, Log()).run()
    assert outcome.status == "repaired"
    assert outcome.function == "price"
    assert "\n-    return count - 3\n+    return count * 3\n" in outcome.diff


def test_lines_where_tests_ended_are_more_suspect_than_the_others():
    scores = {9: 1.0, 11: 1.0, 12: 0.5, 20: 1.0}
    assert FaultLocalization(scores, {}).within(10, 13) == {2: 1.0, 3: 0.5}
    assert FaultLocalization(scores, {12: 2}).within(10, 13) == {2: 0.5, 3: 0.5}
    assert FaultLocalization(scores, {20: 1}).within(10, 13) == {2: 1.0, 3: 0.5}  # elsewhere


def test_names_that_failures_complain_about():
    complaint = "NameError: name 'this' is not defined"
    assert read_clues([complaint, complaint.replace("this", "that")]).undefined == {"this", "that"}
    assert read_clues([complaint, "AssertionError: assert 1 == 2"]).undefined == frozenset()
    assert read_clues([]).undefined == frozenset()


def test_tests_that_reach_the_file_through_others_are_asked_before_it_is_said_to_pass(tmp_path):
    """Those that carry its name pass; the one that fails imports the package only."""
    files = {
        "shop/__init__.py": "from shop.prices import total\n",
        "shop/prices.py": "def total(prices):\n    return sum(prices[1:])\n\n\ndef none():\n    return 0\n",
        "test_prices.py": "from shop.prices import none\n\ndef test_none():\n    assert none() == 0\n",
        "test_shop.py": "import shop\n\ndef test_total():\n    assert shop.total([1, 2]) == 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    request = Request(way_of(tmp_path / "shop/prices.py", None), budget=20.0)
    outcome = Repair(request, None, Told()).run()
    assert outcome.status == "repaired", outcome.message
    assert "+    return sum(prices" in outcome.diff
