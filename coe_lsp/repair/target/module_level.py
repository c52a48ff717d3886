"""Places outside of functions: statements of a module at which failures end, or that are read.

Constants, dictionaries, regular expressions, attributes of classes, imports: one statement each, as
a block to search. What reads them is told by names alone, so some have nothing to do with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from coe_lsp.parsing import parse
from coe_lsp.repair.target.importing import IMPORT, place_of_imports, undefined_name, wants_import
from coe_lsp.repair.target.places import NO_FEATURES, Place, Seen
from coe_lsp.repair.target.source import Function, SourceFile

# A statement that a function reads is this much less suspect than the function, in log odds; one
# that a test reads, than the first function; and one at which failures end more than any.
_LESS_THAN_READER, _LESS_THAN_FIRST, _MORE_THAN_FIRST = 2.5, 1.5, 1.0
_READERS, _MOST, _MOST_LINES = 4, 6, 60


def module_places(
    places: Sequence[Place], seen: Seen, sources: Mapping[str, SourceFile]
) -> list[Place]:
    """Statements of modules, most suspect first; `places` are the functions, in the same order."""
    best = places[0].score if places else 0.0
    found: list[Place] = []
    statements = {file: list(_statements(source)) for file, source in sources.items()}
    for failure in seen.failures:
        ends = [(file, line) for file, line in failure.stack if file in sources][-1:]
        for file, line in ends:
            name, top = undefined_name(failure.detail), place_of_imports(sources[file])
            if name and top:
                more = _MORE_THAN_FIRST if wants_import(name, sources[file]) else -_LESS_THAN_FIRST
                found.append(_place(file, top, best + more, f"`{name}` is not defined there"))
            inside = any(f.is_run_by([line]) for f in sources[file].functions())
            for block, _ in statements[file]:
                if not inside and block.first <= line <= block.last:
                    found.append(_place(file, block, best + _MORE_THAN_FIRST, "it fails here"))
    for place in places[:_READERS]:
        read = _names("\n".join(sources[place.file].scratch_lines(place.function)))
        score, note = place.score - _LESS_THAN_READER, f"`{place.function.name}` reads it"
        for block, names in statements[place.file]:
            if names & read and block.name != IMPORT:
                found.append(_place(place.file, block, score, note))
    wanted = _names("\n".join(seen.texts.get(failure.id, "") for failure in seen.failures))
    for file, blocks in statements.items():
        for block, names in blocks:
            if names & wanted and block.name != IMPORT:
                found.append(_place(file, block, best - _LESS_THAN_FIRST, "the test reads it"))
    unique: dict[tuple[str, int], Place] = {}
    for place in sorted(found, key=lambda place: -place.score):
        unique.setdefault((place.file, place.function.first), place)
    return list(unique.values())[:_MOST]


def _place(file: str, block: Function, score: float, note: str) -> Place:
    return Place(file, block, NO_FEATURES, score, note)


def _statements(source: SourceFile) -> Iterator[tuple[Function, frozenset[str]]]:
    """The assignments and imports of a module and of its classes, with the names that they set."""
    try:
        body = parse(source.text).body
    except SyntaxError:
        return
    for node in body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                yield from _statement(inner, f"{node.name}.")
        else:
            yield from _statement(node, "")


def _statement(node: ast.stmt, prefix: str) -> Iterator[tuple[Function, frozenset[str]]]:
    last = node.end_lineno or node.lineno
    if last - node.lineno >= _MOST_LINES:
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        yield Function(IMPORT, node.lineno, last), frozenset(names)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        set_here = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if set_here:
            name = prefix + min(set_here)
            yield Function(name, node.lineno, last), frozenset(set_here)


def _names(text: str) -> frozenset[str]:
    """The names and attributes that a text reads, but for those of annotations."""
    try:
        tree = parse(text)
    except SyntaxError:
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return frozenset(read | {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)})
