"""`--apply` as a user meets it: what is changed, what stays, what is refused."""

import json
import os

import pytest
from test_cli import coe

REPAIRED = "        return high\n    return value\n"


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_repaired_and_stays_one(clamp_project, tmp_path_factory, inside):
    """Row 64: the tests know it by the link's name."""
    place = clamp_project if inside else tmp_path_factory.mktemp("other")
    target = place / "elsewhere" / "impl.py"
    target.parent.mkdir()
    (clamp_project / "ranges.py").rename(target)
    (clamp_project / "ranges.py").symlink_to(target)
    target.chmod(0o640)
    done = coe("repair", "ranges.py", "--model", "none", "--apply", "--json", cwd=clamp_project)
    body = json.loads(done.stdout)
    assert (done.returncode, body["status"]) == (0, "repaired"), done
    name = "elsewhere/impl.py" if inside else "ranges.py"
    assert (body["file"], body["after"]["passed"]) == (name, 3)
    assert f"+++ b/{name}" in body["diff"]
    assert (clamp_project / "ranges.py").is_symlink()
    assert target.read_text().endswith(REPAIRED)
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["impl.py"]
    done = coe("tests", "ranges.py", cwd=clamp_project)
    assert "3 passed, 0 failed" in done.stdout, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_root_leaves_the_file_to_its_owner(clamp_project):
    """Row 62."""
    path = clamp_project / "ranges.py"
    os.chown(path, 1234, 2345)
    path.chmod(0o600)
    os.setxattr(path, "user.note", b"mine")
    done = coe("repair", path, "--model", "none", "--apply")
    assert (done.returncode, path.read_text().endswith(REPAIRED)) == (0, True), done
    now = path.stat()
    assert (now.st_uid, now.st_gid, now.st_mode & 0o777) == (1234, 2345, 0o600)
    assert os.getxattr(path, "user.note") == b"mine"


def test_a_file_with_other_names_is_refused(clamp_project):
    """Row 63."""
    path = clamp_project / "ranges.py"
    (clamp_project / "other.py").hardlink_to(path)
    done = coe("repair", path, "--model", "none", "--apply")
    assert done.returncode == 2
    assert "2 names" in " ".join(done.stderr.split())
    assert path.read_bytes() == (clamp_project / "other.py").read_bytes()
    assert path.stat().st_nlink == 2


@pytest.mark.parametrize("name", ["tests/test_ranges.py", "tests/test_ranges.py::test_high",
                                  "check_ranges.py"])  # fmt: skip
def test_tests_lead_to_the_code_and_are_never_edited(clamp_project, write, name):
    write("pyproject.toml", '[tool.pytest.ini_options]\npython_files = ["test_*.py", "check_*.py"]')
    write(
        "check_ranges.py",
        "from ranges import clamp\n\ndef test_it():\n    assert clamp(9, 2, 3) == 3\n",
    )
    before = {path: path.read_bytes() for path in clamp_project.rglob("*.py")}
    done = coe("repair", name, "--model", "none", "--apply", cwd=clamp_project)
    assert done.returncode == 0, done
    assert "ranges.py is changed." in done.stdout
    after = {path: path.read_bytes() for path in clamp_project.rglob("*.py")}
    assert [path.name for path in before if before[path] != after[path]] == ["ranges.py"]


def test_what_sets_tests_up_is_no_way_in(clamp_project, write):
    write("tests/conftest.py", "import ranges\n")
    done = coe("repair", "tests/conftest.py", "--model", "none", "--apply", cwd=clamp_project)
    assert done.returncode == 2
    assert "conftest.py only sets tests up" in " ".join(done.stderr.split())


def test_tests_of_a_file_of_tests_are_shown(clamp_project):
    done = coe("tests", "tests/test_ranges.py", cwd=clamp_project)
    assert (done.returncode, "2 passed, 1 failed" in done.stdout) == (1, True), done
