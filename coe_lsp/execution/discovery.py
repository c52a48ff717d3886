"""Finds the tests that matter for a file, by reading files; nothing of the user's is run.

A test file matters if it carries the module's name (`test_<module>.py`, `<module>_test.py`) or
imports the module; if none does, those that import it through other modules, or the package around
it. Doctests in the file count too. Which of these tests really reach a function is known only after
a run with coverage.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coe_lsp.errors import CoeError
from coe_lsp.execution.imports import ImportGraph, imported_names
from coe_lsp.execution.suite import Suite
from coe_lsp.execution.test_files import TestNames, has_only_functions
from coe_lsp.files import MOST_SETTINGS, MOST_SOURCE, read_bounded, read_text_bounded
from coe_lsp.parsing import parse

if TYPE_CHECKING:
    from coe_lsp.execution.interpreter import Interpreter

ROOT_MARKERS = ("pyproject.toml", "pytest.ini", "setup.cfg", "setup.py", "tox.ini", ".git")
_SKIPPED_FOLDERS = {"node_modules", "site-packages", "build", "dist", "__pycache__", "venv", "env"}
_MAX_TEST_FILES = 5000
#: Of files of tests that reach a module through others, the nearest.
_MAX_INDIRECT_FILES = 20
_TEST_FOLDERS = frozenset({"tests", "test"})


class DiscoveryError(CoeError):
    """There is nothing to run."""


class NoTestsError(DiscoveryError):
    """No tests were found for a file, which is nothing unusual."""


def find_root(path: Path) -> Path:
    """The project's folder: the nearest one with a project file, else where imports start from.

    The tests of a project without such a file start from beside their own folder.
    """
    for folder in path.parents:
        if any((folder / marker).exists() for marker in ROOT_MARKERS):
            return folder
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    for tests in (folder, *folder.parents):
        if tests.name in _TEST_FOLDERS and _has_code(tests.parent):
            return tests.parent
    return folder


def _has_code(folder: Path) -> bool:
    """Whether modules or packages stand in a folder; else it may be anything, as a home is."""
    return any(any(folder.glob(pattern)) for pattern in ("*.py", "*/__init__.py", "src/*/"))


def place_of(path: Path) -> Path:
    """Where a file that the user named is worked on: its real place, unless links lead there.

    A file that is a link (or is in a folder that is one) has a place in the link's project too,
    which goes before, unless only tests at the real place are for it.
    """
    real = path.resolve()
    if ".." in path.parts:
        return real
    path = path.absolute()
    root = find_root(path)
    named = root.resolve() / path.relative_to(root)
    if named == real or any(_relevant_files(named, root.resolve())):
        return named
    return real if any(_relevant_files(real, find_root(real))) else named


def suites_for(
    path: Path, root: Path, interpreter: Interpreter, named: Sequence[str] = ()
) -> tuple[Suite, ...]:
    """What to run for the file at `path`, in the order in which to run it.

    `named` overrides the search: paths or node ids (relative to the working directory or the root)
    and plain statements that assert. Raises DiscoveryError if nothing is left to run.
    """
    if named:
        return tuple(_named_suites(path, root, interpreter, named))
    files = [path] if is_test_file(path, root) else list(_relevant_files(path, root))
    suites: list[Suite] = []
    if files:
        args = tuple(str(file.relative_to(root)) for file in files)
        suites.append(_test_suite(path, root, interpreter, args))
    if has_doctests(path):
        suites.append(Suite("doctest", root, path))
    if not suites:
        raise NoTestsError(
            f"No tests were found for {path.name}: looked in {root} for test files that carry its "
            "name or import it, and for doctests. Name some with --tests (editors: coe.tests)."
        )
    return tuple(suites)


def suites_from_afar(
    path: Path, root: Path, interpreter: Interpreter, suites: Sequence[Suite]
) -> tuple[Suite, ...]:
    """The suites of a file with the tests that reach it through other files only.

    The same ones if there are no such tests.
    """
    known = {arg for suite in suites for arg in suite.args}
    far = [str(f.relative_to(root)) for f in test_files_reaching(path, root, ImportGraph(root))]
    if known.issuperset(far):
        return tuple(suites)
    args = tuple(dict.fromkeys((*known, *far)))
    others = [suite for suite in suites if suite.kind not in ("pytest", "unittest")]
    return (_test_suite(path, root, interpreter, tuple(sorted(args))), *others)


def suite_of_tests(root: Path, interpreter: Interpreter, tests: Sequence[str]) -> Suite:
    """The suite of some tests, without a file under repair; DiscoveryError if it cannot run.

    `tests` are files, folders and node ids relative to the root; none means all of the project's.
    """
    if interpreter.has_pytest:
        return Suite("pytest", root, None, tuple(tests))
    files = [str(file.relative_to(root)) for file in find_test_files(root)]
    return _test_suite(None, root, interpreter, tuple(tests or files))


def _named_suites(
    path: Path, root: Path, interpreter: Interpreter, named: Sequence[str]
) -> Iterator[Suite]:
    statements = tuple(filter(_is_code, named))
    args: list[str] = []
    for name in named:
        if name in statements:
            continue
        file, separator, rest = name.partition("::")
        found = next((p for p in (Path(file).absolute(), root / file) if p.exists()), None)
        if found is None:
            raise DiscoveryError(f"There is no {file} to take tests from.")
        args.append(os.path.relpath(found, root) + separator + rest)
    if args:
        yield _test_suite(path, root, interpreter, tuple(args))
    if statements:
        yield Suite("asserts", root, path, statements=statements)


def _is_code(test: str) -> bool:
    """Whether a test is spelled out: an `assert`, or what asserts need, such as an import."""
    if test.lstrip().startswith("assert "):
        return True
    try:
        body = parse(test).body
    except SyntaxError:
        return False
    return any(not isinstance(statement, ast.Expr) for statement in body)


def _test_suite(
    path: Path | None, root: Path, interpreter: Interpreter, args: tuple[str, ...]
) -> Suite:
    if interpreter.has_pytest:
        return Suite("pytest", root, path, args)
    for arg in args:
        file = root / arg.partition("::")[0]
        if _needs_pytest(file, root):
            raise DiscoveryError(
                f"{arg} needs pytest, which {interpreter.executable} does not have: install it "
                "there, or name another interpreter with --python (editors: coe.python)."
            )
    return Suite("unittest", root, path, args)


def _needs_pytest(file: Path, root: Path) -> bool:
    return (
        "pytest" in imported_names(file, root)
        or has_only_functions(file)
        or _configures_pytest(file, root)
    )


def _configures_pytest(file: Path, root: Path) -> bool:
    """Whether unittest would not do, since the project sets pytest up for its tests."""
    if any((folder / "conftest.py").exists() for folder in {root, file.parent}):
        return True
    if (root / "pytest.ini").exists():
        return True
    for name, section in (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if section in read_text_bounded(root / name, MOST_SETTINGS):
                return True
    return False


def is_test_file(path: Path, root: Path | None = None) -> bool:
    """Whether a file is one of tests, by its name and what the project says of names."""
    return TestNames.of(root or find_root(path)).fits(path)


def is_for_tests(path: Path, root: Path) -> bool:
    """Whether a file is there for tests alone: one of tests, or what pytest sets them up by."""
    return path.name == "conftest.py" or is_test_file(path, root)


def is_among_tests(path: Path, root: Path) -> bool:
    """Whether a file is for tests, or lies in a folder of them: what helps tests is not at fault.

    Such a folder is called so and has files of tests itself.
    """
    names = TestNames.of(root)
    if path.name == "conftest.py" or names.fits(path):
        return True
    above = [folder for folder in path.parents if folder.is_relative_to(root) and folder != root]
    return any(
        any(names.fits(file) for file in folder.glob("*.py"))
        for folder in above
        if folder.name in _TEST_FOLDERS
    )


def test_files_reaching(path: Path, root: Path, graph: ImportGraph) -> list[Path]:
    """The files of tests that import a file, themselves or through others, the nearest first."""
    found = set(_relevant_files(path, root))
    far = {file: graph.distance(file, path) for file in find_test_files(root)}
    through = sorted((d, file) for file, d in far.items() if d is not None)
    order = dict.fromkeys([*sorted(found), *(file for _, file in through)])
    return list(order)[:_MAX_INDIRECT_FILES]


def subjects_of(path: Path, root: Path) -> list[Path]:
    """The project's files that a file of tests imports itself."""
    found = ImportGraph(root).imports(path)
    return sorted(f for f in found if f.name != "__init__.py" and not is_among_tests(f, root))


def _relevant_files(path: Path, root: Path) -> Iterator[Path]:
    """The files of tests for a file; for one that is a link also those for what it names."""
    places = [path, *([real] if (real := path.resolve()) != path else [])]
    places = [place for place in places if place.is_relative_to(root)]
    names = {name for place in places for name in _module_names(place, root)}
    packages = {
        ".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)
    }
    by_name = {
        name
        for p in places
        for name in (f"test_{p.stem}.py", f"{p.stem}_test.py", f"tests_{p.stem}.py")
    }
    found = sorted(find_test_files(root))
    imported = {file: imported_names(file, root) for file in found}
    direct = [file for file in found if file.name in by_name or imported[file] & names]
    if direct:
        yield from direct
        return
    graph = ImportGraph(root)
    far = {
        file: min((d for p in places if (d := graph.distance(file, p)) is not None), default=None)
        for file in found
    }
    through = [file for file in found if far[file] is not None]
    nearest = sorted(through, key=lambda file: far[file] or 0)[:_MAX_INDIRECT_FILES]
    yield from sorted(nearest) or [file for file in found if imported[file] & packages]


def find_test_files(root: Path) -> list[Path]:
    """All files of tests below a folder, by their names.

    Where a project tells pytest which folders to look into, the others are left alone: examples and
    the like, which often cannot run beside the rest.
    """
    names = TestNames.of(root)
    found = list(_walk(root, names))
    return [path for path in found if names.is_looked_into(path)] or found


def _walk(root: Path, names: TestNames) -> Iterator[Path]:
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED_FOLDERS
            and not name.startswith(".")
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        for name in files:
            seen += 1
            path = Path(folder) / name
            # pytest runs nothing at all if one of the files that it is given is none.
            if path.suffix == ".py" and names.fits(path) and path.is_file():
                yield path
        if seen > _MAX_TEST_FILES:
            return


def _module_names(path: Path, root: Path) -> set[str]:
    """All dotted names that tests may know the file by, with or without the folders above it."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    names = {".".join(parts[start:]) for start in range(len(parts))}
    # The bare module name is only right if the module is not in a package.
    if len(parts) > 1 and (path.parent / "__init__.py").exists():
        names.discard(parts[-1])
    return names


def has_doctests(path: Path) -> bool:
    """Whether a file has examples that are tests."""
    try:
        tree = parse(read_bounded(path, MOST_SOURCE))
    except (OSError, SyntaxError):
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    return any(
        ">>> " in (ast.get_docstring(node) or "")
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    )
