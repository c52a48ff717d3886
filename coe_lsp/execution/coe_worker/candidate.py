"""Makes a candidate text stand in for a file on disk, for imports and tracebacks.

`install` puts a finder before all others: whatever module name the file is imported under, its code
comes from the candidate. A test module keeps pytest's assertion rewriting. The disk is not
touched, so code that opens its own source file by hand still reads the old text.

`CodeCache` keeps the compiled code of the project's other modules from one candidate to the next;
compiling does not execute them.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import linecache
import os
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Optional

Rewriter = Callable[[ast.Module, bytes], None]


def install(path: str, source: bytes, rewrite: Rewriter | None = None) -> None:
    """From now on, importing the file at `path` executes `source` instead of its content."""
    real = os.path.realpath(path)

    def loader(name: str, origin: str) -> Any:
        return _CandidateLoader(name, origin, source, rewrite)

    stems = {_stem(path), _stem(real)}  # tests may know a link, or what it names
    sys.meta_path.insert(0, _Finder(stems, lambda file: loader if file == real else None))
    for name in (path, real):
        remember_lines(name, source)


def remember_lines(filename: str, source: bytes) -> None:
    """Let tracebacks of `filename` show the candidate; without a time stamp it is never reread."""
    try:
        text = importlib.util.decode_source(source)
    except (SyntaxError, UnicodeDecodeError):
        return
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)


def loaded(path: str) -> bool:
    """Whether some module that came from `path` is already imported."""
    return any(
        is_file(file, path)
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str)
    )


def is_file(name: str, path: str) -> bool:
    """Whether a name stands for the file at `path`, which may be a link to it."""
    if name == path:
        return True
    real, ends = _known(path)
    # Most names differ in their last part, which costs no look at the disk.
    return os.path.basename(name) in ends and os.path.realpath(name) == real


@functools.lru_cache(maxsize=None)
def _known(path: str) -> tuple[str, tuple[str, str]]:
    real = os.path.realpath(path)
    return real, (os.path.basename(path), os.path.basename(real))


class CodeCache:
    """Compiled code by file, valid while the file on disk does not change."""

    def __init__(self) -> None:
        self._code: dict[str, tuple[tuple[int, int], CodeType]] = {}
        self._stems: set[str] = set()

    def compile(self, path: str, rewrite: Rewriter | None) -> None:
        """Compile one file ahead; one that cannot be is left for the child to fail on."""
        try:
            stamp = _stamp(path)
            with open(path, "rb") as file:
                source = file.read()
            tree = ast.parse(source, filename=path)
            if rewrite is not None:
                rewrite(tree, source)
            code = compile(tree, path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError, RecursionError):
            return
        self._code[os.path.realpath(path)] = stamp, code
        self._stems.add(_stem(path))

    def install(self) -> None:
        """Serve imports from here."""
        sys.meta_path.insert(0, _Finder(self._stems, self._loader))

    def code(self, path: str) -> CodeType | None:
        """What a file was compiled to, if it was and has not changed since."""
        known = self._code.get(os.path.realpath(path))
        return known[1] if known is not None and known[0] == _stamp(path) else None

    def _loader(self, file: str) -> Any:
        code = self.code(file)
        if code is None:
            return None

        def loader(name: str, origin: str) -> Any:
            return _CodeLoader(name, origin, code)

        return loader


def _stamp(path: str) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_size


def _stem(path: str) -> str:
    """The last part of the name that the file is imported under."""
    folder, base = os.path.split(os.path.abspath(path))
    return os.path.basename(folder) if base == "__init__.py" else os.path.splitext(base)[0]


class _CandidateLoader(importlib.machinery.SourceFileLoader):
    """Reads the candidate instead of the file, and never a cached bytecode file."""

    def __init__(self, name: str, path: str, source: bytes, rewrite: Rewriter | None) -> None:
        super().__init__(name, path)
        self._source = source
        self._rewrite = rewrite

    def get_data(self, path: str) -> bytes:
        return self._source if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> Any:
        raise OSError("a candidate has no bytecode file")

    def source_to_code(self, data: Any, path: Any, **options: Any) -> Any:  # type: ignore[override]
        if self._rewrite is None:
            return super().source_to_code(data, path, **options)
        tree = ast.parse(data, filename=path)
        self._rewrite(tree, data)
        return compile(tree, path, "exec", dont_inherit=True)


class _CodeLoader(importlib.machinery.SourceFileLoader):
    """Executes code that was compiled before."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder:
    """Lets the other finders find a module, then chooses the loader for some files."""

    def __init__(self, stems: set[str], choose: Callable[[str], Optional[Any]]) -> None:
        self._stems = stems
        self._choose = choose

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name.rpartition(".")[2] not in self._stems:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is None:
                continue
            loader = self._choose(os.path.realpath(spec.origin)) if spec.origin else None
            if loader is None:
                return spec
            return importlib.util.spec_from_file_location(
                name,
                spec.origin,
                loader=loader(name, spec.origin),
                submodule_search_locations=spec.submodule_search_locations,
            )
        return None
