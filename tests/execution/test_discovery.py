"""Which tests are found for a file, and which files are tests."""

import pytest
from attrs import evolve

from coe_lsp.execution.discovery import (
    DiscoveryError,
    find_root,
    is_for_tests,
    is_test_file,
    place_of,
    subjects_of,
    suites_for,
)


def found(path, root, interpreter):
    return [arg for suite in suites_for(path, root, interpreter) for arg in suite.args]


def test_names_are_those_of_the_project(tmp_path, write):
    (tmp_path / "pyproject.toml").touch()
    test = write("check_it.py", "def test_it(): ...")
    write("tests/helper.py", "def test_it(): ...")
    source = write("source.py", "def testament(): ...\n")
    assert not is_test_file(test)
    for name, text in (
        ("setup.cfg", "[tool:pytest]\npython_files = check_*.py %s_*.py\n"),
        ("tox.ini", "[pytest]\npython_files =\n  check_*.py\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\npython_files = ["check_*.py"]\n'),
        ("pytest.ini", "[pytest]\npython_files = check_*.py\n"),
    ):
        (tmp_path / name).write_text(text)
        assert is_test_file(test), name
        assert not is_test_file(write("test_it.py", "")), name
        if name != "pyproject.toml":
            (tmp_path / name).unlink()
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest]\npython_files = ["*.py"]\ntestpaths = ["tests"]\n'
    )
    # Whatever is in the folder of tests is one if there are tests in it; nothing else is.
    assert is_test_file(tmp_path / "tests/helper.py")
    assert not is_test_file(write("tests/data.py", "X = 1\n"))
    assert not is_test_file(source)
    assert is_for_tests(tmp_path / "tests/conftest.py", tmp_path)


def test_tests_with_the_project_s_own_names_are_found(tmp_path, write, interpreter):
    write("pytest.ini", "[pytest]\npython_files = check_*.py\n")
    write("checks/check_a.py", "from mod import f\n\ndef test_f(): f()\n")
    write("checks/test_b.py", "from mod import f\n")
    path = write("mod.py", "def f(): ...\n")
    assert found(path, tmp_path, interpreter) == ["checks/check_a.py"]


def test_only_the_folders_that_pytest_looks_into_have_tests(tmp_path, write, interpreter):
    write("pytest.ini", "[pytest]\ntestpaths = tests plugins/*/checks\n")
    path = write("mod.py", "def f(): ...\n")
    for name in ("tests/test_a.py", "plugins/one/checks/test_b.py", "examples/test_c.py"):
        write(name, "from mod import f\n\ndef test_f(): f()\n")
    inside = ["plugins/one/checks/test_b.py", "tests/test_a.py"]
    assert found(path, tmp_path, interpreter) == inside
    # A setting that leads nowhere is none.
    write("pytest.ini", "[pytest]\ntestpaths = spec\n")
    assert found(path, tmp_path, interpreter) == ["examples/test_c.py", *inside]


def test_tests_that_reach_a_file_through_others_are_found(tmp_path, write, interpreter):
    write("pyproject.toml", "")
    write("service/__init__.py", "")
    path = write("service/pricing.py", "def total(): ...\n")
    write("service/main.py", "from .pricing import total\n")
    write("service/other.py", "")
    write("tests/test_api.py", "from service.main import app\n")
    write("tests/test_other.py", "from service.other import x\n")
    assert found(path, tmp_path, interpreter) == ["tests/test_api.py"]
    write("tests/deep/conftest.py", "import service.main\n")
    write("tests/deep/test_more.py", "def test_it(client): ...\n")
    assert found(path, tmp_path, interpreter) == ["tests/deep/test_more.py", "tests/test_api.py"]
    # Those that import it themselves are enough.
    write("tests/test_direct.py", "from service import pricing\n")
    assert found(path, tmp_path, interpreter) == ["tests/test_direct.py"]


def test_what_a_file_of_tests_tests(tmp_path, write):
    write("pyproject.toml", "")
    write("src/pkg/__init__.py", "")
    write("src/pkg/a.py", "")
    write("b.py", "")
    write("tests/conftest.py", "")
    path = write("tests/test_it.py", "import os\nfrom pkg import a\nimport b, conftest\n")
    assert subjects_of(path, tmp_path) == [tmp_path / "b.py", tmp_path / "src/pkg/a.py"]


@pytest.fixture
def linked(tmp_path, write):
    """`app/link.py` names `lib/impl.py`; both folders are projects."""
    write("app/pyproject.toml", "")
    write("lib/pyproject.toml", "")
    write("lib/impl.py", "def f(): ...\n")
    (tmp_path / "app/link.py").symlink_to("../lib/impl.py")
    return tmp_path


def test_a_link_has_the_tests_of_its_own_place(linked, write, interpreter):
    write("lib/tests/test_impl.py", "from impl import f\n")
    # Nothing at the link's place: the real one.
    assert place_of(linked / "app/link.py") == linked / "lib/impl.py"
    write("app/tests/test_it.py", "from link import f\n")
    place = place_of(linked / "app/link.py")
    assert place == linked / "app/link.py"
    assert found(place, linked / "app", interpreter) == ["tests/test_it.py"]


def test_a_link_in_its_target_s_project_has_the_tests_of_both(linked, write, interpreter):
    (linked / "lib/also.py").symlink_to("impl.py")
    write("lib/tests/test_impl.py", "")
    write("lib/tests/test_also.py", "")
    place = place_of(linked / "lib/also.py")
    assert found(place, linked / "lib", interpreter) == ["tests/test_also.py", "tests/test_impl.py"]


def test_a_folder_that_is_a_link(linked, write, interpreter):
    write("elsewhere/part.py", "def f(): ...\n")
    (linked / "app/parts").symlink_to("../elsewhere")
    write("app/tests/test_it.py", "from parts.part import f\n")
    place = place_of(linked / "app/parts/part.py")
    assert place == linked / "app/parts/part.py"
    assert found(place, linked / "app", interpreter) == ["tests/test_it.py"]


def test_without_pytest_it_is_unittest_or_said(tmp_path, write, interpreter):
    path = write("mod.py", "def f(): ...\n")
    test = write(
        "test_mod.py", "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): ...\n"
    )
    bare = evolve(interpreter, has_pytest=False)
    assert [suite.kind for suite in suites_for(path, tmp_path, bare)] == ["unittest"]
    test.write_text("def test_a(): ...\n")
    with pytest.raises(DiscoveryError, match="test_mod.py needs pytest"):
        suites_for(path, tmp_path, bare)


def test_tests_of_a_project_without_a_project_file_start_beside_their_folder(tmp_path, write):
    source = write("shop/users.py", "def name(user): ...\n")
    test = write("shop/tests/unit/test_users.py", "from users import name\n")
    assert find_root(source) == find_root(test) == tmp_path / "shop"
    alone = write("test/one.py", "x = 1\n")  # a folder of that name says nothing by itself
    assert find_root(alone) == tmp_path / "test"
