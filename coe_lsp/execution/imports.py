"""What a file imports, and which files of its project that brings in, by reading them.

Imports inside functions count; what is imported by a name made at run time is not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from coe_lsp.files import read_bounded
from coe_lsp.parsing import parse

_MAX_FILES_READ = 500


def imported_names(file: Path, root: Path) -> set[str]:
    """Dotted names that a file imports: modules, and `module.name` for names from a module."""
    try:
        tree = parse(read_bounded(file))
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


class ImportGraph:
    """Which of a project's files import which. Each file is read once, and not too many are."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, frozenset[Path]] = {}

    def imports(self, file: Path) -> frozenset[Path]:
        """The project's files that importing this one brings in directly."""
        if file not in self._known:
            if len(self._known) >= _MAX_FILES_READ:
                return frozenset()
            names = imported_names(file, self._root)
            found = {path for name in names for path in self._files(name, file)}
            self._known[file] = frozenset(found - {file})
        return self._known[file]

    def distance(self, file: Path, target: Path) -> int | None:
        """How many imports lie between a file and another that it brings in; None if it does not.

        A file of tests brings in the `conftest.py` files around it as well.
        """
        seen = {file, *self._conftests(file)}
        layer = list(seen)
        steps = 0
        while layer:
            steps += 1
            layer = [new for old in layer for new in self.imports(old) if new not in seen]
            if target in layer:
                return steps
            seen.update(layer)
        return None

    def _conftests(self, file: Path) -> Iterator[Path]:
        for folder in file.parents:
            if (path := folder / "conftest.py").is_file():
                yield path
            if folder == self._root:
                return

    def _files(self, name: str, importer: Path) -> Iterator[Path]:
        """Files that are executed for a dotted name: packages on the way, then the module."""
        parts = [part for part in name.split(".") if part]
        for base in dict.fromkeys((importer.parent, self._root, self._root / "src")):
            place = base
            for part in parts:
                module = place / f"{part}.py"
                place = place / part
                if (package := place / "__init__.py").is_file():
                    yield package
                elif module.is_file():
                    yield module
                elif not place.is_dir():
                    break
