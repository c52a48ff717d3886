"""Finds the tests that matter for a file, by reading files; nothing of the user's is run.

A test file matters if it carries the module's name (`test_<module>.py`, `<module>_test.py`) or
imports the module; if none does, those that import the package around it. Doctests in the file
count too. Which of these tests really reach a function is known only after a run with coverage.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from coe_lsp.errors import CoeError
from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.execution.suite import Suite
from coe_lsp.parsing import parse

_MARKERS = ("pyproject.toml", "pytest.ini", "setup.cfg", "setup.py", "tox.ini", ".git")
_SKIPPED = {"node_modules", "site-packages", "build", "dist", "__pycache__", "venv", "env"}
_MOST_FILES = 5000
_MOST_BYTES = 1 << 20


class DiscoveryError(CoeError):
    """There is nothing to run."""


class NoTestsError(DiscoveryError):
    """No tests were found for a file, which is nothing unusual."""


def find_root(path: Path) -> Path:
    """The project's folder: the nearest one with a project file, else where imports start from."""
    for folder in path.parents:
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def suites_for(
    path: Path, root: Path, interpreter: Interpreter, named: Sequence[str] = ()
) -> tuple[Suite, ...]:
    """What to run for the file at `path`, in the order in which to run it.

    `named` overrides the search: paths or node ids (relative to the working directory or the root)
    and plain statements that assert. Raises DiscoveryError if nothing is left to run.
    """
    if named:
        return tuple(_named_suites(path, root, interpreter, named))
    files = [path] if is_test_file(path) else list(_relevant_files(path, root))
    suites: list[Suite] = []
    if files:
        args = tuple(str(file.relative_to(root)) for file in files)
        suites.append(_test_suite(path, root, interpreter, args))
    if _has_doctests(path):
        suites.append(Suite("doctest", root, path))
    if not suites:
        raise NoTestsError(
            f"No tests were found for {path.name}: looked in {root} for test files that carry its "
            "name or import it, and for doctests. Name some with --tests (editors: coe.tests)."
        )
    return tuple(suites)


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


def _test_suite(path: Path, root: Path, interpreter: Interpreter, args: tuple[str, ...]) -> Suite:
    if interpreter.has_pytest:
        return Suite("pytest", root, path, args)
    for arg in args:
        file = root / arg.partition("::")[0]
        if "pytest" in _imports(file, root) or _configures_pytest(file, root):
            raise DiscoveryError(
                f"{arg} needs pytest, which {interpreter.executable} does not have: install it "
                "there, or name another interpreter with --python (editors: coe.python)."
            )
    return Suite("unittest", root, path, args)


def _configures_pytest(file: Path, root: Path) -> bool:
    """Whether unittest would not do, since the project sets pytest up for its tests."""
    if any((folder / "conftest.py").exists() for folder in {root, file.parent}):
        return True
    if (root / "pytest.ini").exists():
        return True
    for name, section in (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if section in (root / name).read_text(encoding="utf-8"):
                return True
    return False


def is_test_file(path: Path) -> bool:
    """Whether a file is one of tests, by its name."""
    return path.name.startswith("test_") or path.stem.endswith("_test")


def _relevant_files(path: Path, root: Path) -> Iterator[Path]:
    names = _module_names(path, root)
    packages = {
        ".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)
    }
    by_name = {f"test_{path.stem}.py", f"{path.stem}_test.py", f"tests_{path.stem}.py"}
    direct: list[Path] = []
    indirect: list[Path] = []
    for file in sorted(_test_files(root)):
        imported = _imports(file, root)
        if file.name in by_name or imported & names:
            direct.append(file)
        elif imported & packages:
            indirect.append(file)
    yield from direct or indirect


def _test_files(root: Path) -> Iterator[Path]:
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        for name in files:
            seen += 1
            if name.endswith(".py") and is_test_file(path := Path(folder) / name):
                yield path
        if seen > _MOST_FILES:
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


def _imports(file: Path, root: Path) -> set[str]:
    """Dotted names that a file imports: modules, and `module.name` for names from a module."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            return set()
        tree = parse(file.read_bytes())
    except (OSError, SyntaxError):
        return set()
    package = list(file.relative_to(root).parent.parts) if file.is_relative_to(root) else []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def _has_doctests(path: Path) -> bool:
    try:
        tree = parse(path.read_bytes())
    except (OSError, SyntaxError):
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    return any(
        ">>> " in (ast.get_docstring(node) or "")
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    )
