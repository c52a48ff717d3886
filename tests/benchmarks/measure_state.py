"""How many tokens the model reads of real functions before its first command, and what of.

    python tests/benchmarks/measure_state.py PROJECT [...] [--each 40] [--model qwen2.5-coder-0.5b]

Takes functions of 4 to 120 lines of each project, by chance, with up to three tests that name them.
No test is run: the feedback is one of usual length. Prints a table for docs/training.md.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from coe_lsp.chain.prompt import PromptBuilder, Segment
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.cli.progress import BarProgress
from coe_lsp.engine.engine import Engine
from coe_lsp.execution.discovery import is_test_file
from coe_lsp.execution.suite import Suite
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.folding import hidden_lines
from coe_lsp.repair.target.source import Function, SourceError, SourceFile
from coe_lsp.repair.task import describe

FEEDBACK = (
    "1 of 3 tests fail\ntest_basic_clone (line 5): assert {'a': 'b', 'c': [1, 2]} == {'a': 'b', "
    "'c': [1]}\nOmitting 1 identical items, use -vv to show\nDiffering items:"
)
LIMIT = 1500


def tests_of(root: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts of all tests."""

    def visit(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{prefix}::{node.name}")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                yield f"{prefix}::{node.name}", ast.unparse(node)

    for path in sorted(root.rglob("*.py")):
        if is_test_file(path):
            try:
                body = ast.parse(path.read_text(encoding="utf-8")).body
            except (SyntaxError, UnicodeDecodeError):
                continue
            yield from visit(body, path.relative_to(root).as_posix())


def functions_of(root: Path) -> Iterator[tuple[SourceFile, Function]]:
    """All functions of a usual length."""
    for path in sorted(root.rglob("*.py")):
        if is_test_file(path) or {"tests", "docs"} & set(path.relative_to(root).parts):
            continue
        try:
            source = SourceFile.read(path)
        except SourceError:
            continue
        for function in source.functions():
            if 4 <= function.last - function.first + 1 <= 120:
                yield source, function


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--each", type=int, default=40, help="functions of a project (40)")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", help="whose tokens are counted")
    options = parser.parse_args()
    chance = random.Random(0)
    rows: dict[str, list[int]] = {"context": [], "tests": [], "program, feedback": [], "all": []}
    seconds: list[float] = []
    path = ensure(resolve(options.model), progress=BarProgress())
    with Engine(path, context_tokens=256, max_sequences=1) as engine:

        def count(*segments: Segment) -> int:
            return len(engine.tokenize(segments, add_bos=True))

        builder = PromptBuilder("chatml", instructed=False)
        for root in options.projects:
            tests, taken = list(tests_of(root)), 0
            functions = list(functions_of(root))
            chance.shuffle(functions)
            for source, function in functions:
                owner, _, name = function.name.rpartition(".")
                name = owner.rpartition(".")[2] if name.startswith("__") else name
                naming = [test for test, text in tests if re.search(rf"\b{name}\b", text)]
                if not naming or taken == options.each:
                    continue
                taken += 1
                naming = chance.sample(naming, min(len(naming), chance.choice([1, 1, 2, 3])))
                began = time.process_time()
                task = describe(source, function, [Suite("pytest", root, source.path)], naming)
                seconds.append(time.process_time() - began)
                lines = source.scratch_lines(function)
                pad = Scratchpad(lines, FEEDBACK, hidden_lines(lines, {}))
                rows["context"].append(count(Segment(task.context)))
                rows["tests"].append(count(*map(Segment, task.tests)))
                rows["program, feedback"].append(count(Segment(pad.render())))
                rows["all"].append(count(*builder.opening(task, pad)))
    print("| tokens of | median | 9 of 10 | most |\n| --- | --- | --- | --- |")
    for name, found in rows.items():
        found.sort()
        print(
            f"| {name} | {found[len(found) // 2]} | {found[int(0.9 * len(found))]} | {found[-1]} |"
        )
    within = sum(size <= LIMIT for size in rows["all"]) / len(rows["all"])
    seconds.sort()
    print(f"\n{len(seconds)} functions, {within:.1%} within {LIMIT} tokens; described in", end=" ")
    print(f"{seconds[len(seconds) // 2]:.3f} s of processor time, 9 of 10 in ", end="")
    print(f"{seconds[int(0.9 * len(seconds))]:.3f}")


if __name__ == "__main__":
    main()
