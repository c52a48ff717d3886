"""The demo's example project holds exactly the bugs that it says it holds.

Runs real pytest on copies of the project. The fixes live here and not in the package, so that
nothing which the demo can read gives them away.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import coe_lsp

DEMO = Path(coe_lsp.__file__).parent / "demo"
PROJECT = DEMO / "project"
BUGS = json.loads((DEMO / "bugs.json").read_text(encoding="utf-8"))
FIXES = {
    fix["target"]: fix
    for fix in json.loads(Path(__file__).with_name("demo_fixes.json").read_text(encoding="utf-8"))
}

each_bug = pytest.mark.parametrize("target", [bug["target"] for bug in BUGS])


def copy_project(folder: Path) -> Path:
    copy = folder / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(PROJECT, copy, ignore=ignored)
    return copy


def apply_edits(copy: Path, target: str, edits: list[dict[str, str]]) -> None:
    path = copy / target.partition("::")[0]
    source = path.read_text(encoding="utf-8")
    for edit in edits:
        assert source.count(edit["old"]) == 1, f"{target}: {edit['old']!r} must occur once"
        source = source.replace(edit["old"], edit["new"])
    path.write_text(source, encoding="utf-8")


def run_suite(copy: Path) -> dict[str, bool]:
    """Run the copy's whole suite; return, for each test's node id, whether it passed."""
    report = copy / "report.xml"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--junitxml={report}"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    results: dict[str, bool] = {}
    for case in ET.parse(report).iter("testcase"):
        module, _, group = case.attrib["classname"].rpartition(".")
        node = f"{module.replace('.', '/')}.py::{group}::{case.attrib['name']}"
        results[node] = not any(child.tag in ("failure", "error") for child in case)
    assert (done.returncode == 0) == all(results.values())
    return results


def failing(results: dict[str, bool], group: str = "") -> set[str]:
    prefix = f"{group}::" if group else ""
    return {node for node, passed in results.items() if not passed and node.startswith(prefix)}


def function_span(source: str, name: str) -> tuple[int, int]:
    """Return the first and last line, 1-based, of a function by its qualified name."""
    body: list[ast.stmt] = ast.parse(source).body
    for part in name.split("."):
        [found] = [node for node in body if getattr(node, "name", None) == part]
        body = found.body
    assert isinstance(found, ast.FunctionDef)
    return found.lineno, found.end_lineno


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    return run_suite(copy_project(tmp_path_factory.mktemp("shipped")))


def test_twelve_bugs_of_different_kinds():
    assert len(BUGS) == 12
    assert {bug["target"] for bug in BUGS} == set(FIXES)
    assert len({bug["kind"] for bug in BUGS}) == 12
    assert len({bug["target"].partition("::")[0] for bug in BUGS}) == 5
    assert any("." in bug["target"].partition("::")[2] for bug in BUGS)
    assert any(len(fix["edits"]) > 1 for fix in FIXES.values())


def test_the_list_of_bugs_does_not_hold_the_fixes():
    assert all(set(bug) == {"target", "kind"} for bug in BUGS)


@each_bug
def test_a_fix_stays_inside_its_function(target):
    path, _, name = target.partition("::")
    source = (PROJECT / path).read_text(encoding="utf-8")
    first, last = function_span(source, name)
    assert 4 <= last - first + 1 <= 25
    for edit in FIXES[target]["edits"]:
        line = source[: source.index(edit["old"])].count("\n") + 1
        assert first <= line
        assert line + edit["old"].rstrip("\n").count("\n") <= last


def test_every_failing_test_belongs_to_one_bug(shipped):
    groups = [failing(shipped, fix["tests"]) for fix in FIXES.values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set().union(*groups) == failing(shipped)


@each_bug
def test_a_fix_repairs_its_own_tests_and_no_others(target, shipped, tmp_path):
    copy = copy_project(tmp_path)
    apply_edits(copy, target, FIXES[target]["edits"])
    results = run_suite(copy)
    assert results.keys() == shipped.keys()
    assert failing(results) == failing(shipped) - failing(shipped, FIXES[target]["tests"])


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (target, index)
        for target, fix in FIXES.items()
        if len(fix["edits"]) > 1
        for index in range(len(fix["edits"]))
    ],
)
def test_half_a_fix_is_not_enough(target, index, tmp_path):
    copy = copy_project(tmp_path)
    edits = FIXES[target]["edits"]
    apply_edits(copy, target, edits[:index] + edits[index + 1 :])
    assert failing(run_suite(copy), FIXES[target]["tests"])


def test_all_fixes_together_repair_the_project(shipped, tmp_path):
    copy = copy_project(tmp_path)
    for target, fix in FIXES.items():
        apply_edits(copy, target, fix["edits"])
    results = run_suite(copy)
    assert results.keys() == shipped.keys()
    assert not failing(results)
