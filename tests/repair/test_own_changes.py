"""What the user changed lately leads to the fault, and can be taken back."""

import subprocess
import textwrap

import pytest
from red_tests import repair

from coe_lsp.execution.git import committed
from coe_lsp.repair.changes import find_changes, parts_of, taken_back
from coe_lsp.repair.target.source import SourceFile

BEFORE = """
    def area(width, height):
        return width * height


    def edge(width, height):
        return 2 * (width + height)
"""
TESTS = """
    from shapes import area, edge

    def test_area():
        assert area(2, 3) == 6
        assert area(4, 5) == 20

    def test_edge():
        assert edge(2, 3) == 10
"""


def git(folder, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)


@pytest.fixture
def shapes(tmp_path):
    root = tmp_path / "shapes"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    (root / "shapes.py").write_text(textwrap.dedent(BEFORE).lstrip())
    (root / "test_shapes.py").write_text(textwrap.dedent(TESTS).lstrip())
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


def change(root, old, new):
    text = (root / "shapes.py").read_text()
    assert old in text
    (root / "shapes.py").write_text(text.replace(old, new))


def changes(root):
    return find_changes(root, {"shapes.py": SourceFile.read(root / "shapes.py")})


def test_lines_count_by_when_they_were_changed(shapes):
    change(shapes, "2 * (", "(")
    git(shapes, "commit", "-qam", "two")
    change(shapes, "width * height", "width + height")
    found = changes(shapes)
    assert found.lines["shapes.py"][2] == 1.0
    assert found.lines["shapes.py"][6] == 0.6
    assert [(h.first, h.last) for h in found.hunks] == [(2, 2)]
    assert found.before["shapes.py"].lines[1] == "    return width * height\n"


def test_what_a_branch_has_changed_counts_however_long_ago(shapes):
    git(shapes, "branch", "-M", "main")
    git(shapes, "checkout", "-qb", "feature")
    change(shapes, "2 * (", "(")
    git(shapes, "commit", "-qam", "on the branch")
    for number in range(8):
        change(shapes, "def area", f"# {number}\ndef area")
        git(shapes, "commit", "-qam", "more")
    found = changes(shapes).lines["shapes.py"]
    line = (shapes / "shapes.py").read_text().split("\n").index("    return (width + height)") + 1
    assert found[line] == 0.5
    git(shapes, "branch", "-M", "main")  # now there is no other
    assert line not in changes(shapes).lines["shapes.py"]


def test_no_repository_no_changes(tmp_path, shapes):
    (tmp_path / "other").mkdir()
    path = tmp_path / "other/a.py"
    path.write_text("x = 1\n")
    found = find_changes(tmp_path / "other", {"a.py": SourceFile.read(path)})
    assert (found.lines, found.hunks, found.before) == ({}, (), {})
    assert committed(shapes, ["none.py", "a\nb.py", "shapes.py"], "HEAD").keys() == {"shapes.py"}
    assert committed(shapes, ["shapes.py"], "nothing") == {}


def test_what_a_repository_names_is_not_run(shapes, tmp_path):
    mark = tmp_path / "ran"
    for name in ("core.fsmonitor", "core.sshCommand", "filter.x.smudge", "filter.x.clean"):
        git(shapes, "config", name, f"touch {mark}")
    (shapes / ".gitattributes").write_text("*.py filter=x\n")
    mark.unlink(missing_ok=True)
    change(shapes, "width * height", "width")
    assert changes(shapes).hunks
    assert not mark.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return width * height\n", ""),
        ("    return 2 * (", "    # more\n    return (\n        2 *\n    ) * ("),
        ("\n\ndef edge", "\nX = 1\n\n\ndef edge"),
        ("def area", "import os\n\n\ndef area"),
        ("(width + height)\n", "(width + height)\n\n\nif True:\n    Y = 2\n"),
        ("    return 2 * (width + height)\n", ""),
    ],
)
def test_taking_hunks_back_gives_the_old_text(shapes, old, new):
    before = (shapes / "shapes.py").read_text()
    change(shapes, old, new)
    sources = {"shapes.py": SourceFile.read(shapes / "shapes.py")}
    found = find_changes(shapes, sources)
    back = taken_back(found.hunks, sources).apply(sources)["shapes.py"]
    assert back.text == before


def test_a_hunk_has_parts_of_a_line_each(shapes):
    change(
        shapes,
        "    return width * height\n",
        "    size = abs(width)\n    return width + height\n",
    )
    sources = {"shapes.py": SourceFile.read(shapes / "shapes.py")}
    (hunk,) = find_changes(shapes, sources).hunks
    found = [
        taken_back([part], sources).apply(sources)["shapes.py"].lines[1:4]
        for part in parts_of(hunk, sources["shapes.py"])
    ]
    assert found == [
        ("    size = abs(width)\n", "    return width * height\n", "\n"),
        ("    return width * height\n", "    return width + height\n", "\n"),
        ("    return width + height\n", "\n", "\n"),
        ("    size = abs(width)\n", "\n", "\n"),
    ]


def test_of_a_hunk_only_the_line_is_taken_back_that_is_at_fault(shapes):
    change(
        shapes,
        "    return width * height\n",
        "    assert width >= 0\n    return SystemError(2 ** width, height, 77)\n",
    )
    outcome, _ = repair(shapes, "test_shapes.py", budget=4)
    assert outcome.status == "repaired", outcome.message
    (patch,) = outcome.patches
    assert patch.reason == "takes back your change of line 3 of shapes.py"
    text = patch.patch.apply(outcome.sources)["shapes.py"].text
    assert "    assert width >= 0\n    return width * height\n" in text


def test_a_repair_that_keeps_the_change_comes_first(shapes):
    change(shapes, "return width * height", "area = width + height\n    return area")
    outcome, watcher = repair(shapes, "test_shapes.py")
    assert outcome.status == "repaired", outcome.message
    first, *_, last = outcome.patches
    assert "width * height" in first.diff
    assert "area = " in first.patch.apply(outcome.sources)["shapes.py"].text
    assert last.reason == "takes back your change of line 3 of shapes.py"
    back = last.patch.apply(outcome.sources)["shapes.py"].text
    assert "    area = width + height\n    return width * height\n" in back


def test_if_nothing_else_is_found_the_change_is_taken_back(shapes):
    change(shapes, "    return width * height", "    raise SystemError(2 ** width, height, 77)")
    change(shapes, "(width + height)\n", "(width + height)\n\n\ndef none():\n    pass\n")
    outcome, _ = repair(shapes, "test_shapes.py", budget=4)
    assert outcome.status == "repaired", outcome.message
    (patch,) = outcome.patches
    assert patch.reason == "takes back your change of line 2 of shapes.py"
    text = patch.patch.apply(outcome.sources)["shapes.py"].text
    assert "def none" in text
    assert "return width * height" in text
    assert outcome.message.startswith("Only this was found: it takes back your change of line 2")
    assert outcome.after.failed == 0


def test_a_change_that_is_not_at_fault_is_left_alone(shapes):
    change(shapes, "width * height", "width + height + 1000")
    git(shapes, "commit", "-qam", "the fault")
    change(shapes, "2 * (width", "2 * (0 + width")
    outcome, _ = repair(shapes, "test_shapes.py", budget=4)
    assert not any("takes back" in patch.reason for patch in outcome.patches)
