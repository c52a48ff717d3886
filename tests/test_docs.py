"""The documents: their numbers are computed, their links lead somewhere, their commands exist."""

import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from coe_lsp.cli.main import parser as coe_parser
from training.cli import build_parser as training_parser

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "coe_lsp/weights").glob("*.md")),
    *(ROOT / name / "README.md" for name in ("editors", "training")),
]
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def report():
    """The script that writes the tables, as a module."""
    folder = ROOT / "tests/benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("report", folder / "report.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def written_by_hand(text):
    """The document without the parts that are computed, and without code."""
    text = re.sub(r"<!-- report\.py: (.+?) -->.*?<!-- end of \1 -->", "", text, flags=re.DOTALL)
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def console_lines(text):
    """The commands of the document's console blocks, continued lines joined."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


def test_the_tables_are_current(report):
    """Else run `python tests/benchmarks/report.py`."""
    assert [str(path) for path in report.stale_documents()] == []


def test_a_changed_result_makes_a_document_stale(report, tmp_path, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(report.RESULTS, results)
    path = results / "search-humanevalfix-dev.jsonl"
    changed = path.read_text().replace('"status": "repaired"', '"status": "failed"', 1)
    path.write_text(changed)
    monkeypatch.setattr(report, "RESULTS", results)
    stale = {path.name for path in report.stale_documents()}
    assert stale == {"README.md", "benchmarks.md"}


def test_every_part_is_in_a_document(report):
    texts = "".join(path.read_text() for path in PAGES)
    assert set(re.findall(r"<!-- report\.py: (.+?) -->", texts)) == set(report.PARTS)


@PAGE
def test_no_interval_or_p_value_is_typed(page):
    text = written_by_hand(page.read_text())
    assert re.findall(r"\bp ?[=<] ?0?\.\d+|\(\d+\.\d+%? to \d+\.\d+%?\)", text) == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text()) <= 8000


@PAGE
def test_lines_are_short(page):
    lines = page.read_text().splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@PAGE
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", written_by_hand(page.read_text())):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert anchor in anchors, target


def test_paths_in_the_architecture_exist():
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:coe_lsp|training|tests|editors|docs)/[\w./-]*)`", text)
    assert len(named) > 40
    assert [path for path in named if not (ROOT / path).exists()] == []


@PAGE
def test_documented_commands_are_accepted(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    parsers = {"coe-lsp": coe_parser(), "python -m training": training_parser()}
    for line in console_lines(page.read_text()):
        command = re.split(r"\s#\s| \| ", line)[0].rpartition("&& ")[2]
        for program, parser in parsers.items():
            if command.startswith(program + " ") and "--help" not in command:
                words = shlex.split(command.removeprefix(program))
                parser.parse_args(words)
