"""The naive baseline that `bench_repair.py` compares with: a loop without this project's parts.

llama-cpp-python's high-level class writes the whole function anew, one answer at a time. Each answer
goes into the file, and `python -m pytest` says whether the tests pass. Nothing is shared, overlapped
or remembered. What costs nothing is done well: the same model, all cores, the prompt kept in the
cache, only the file's own tests, pytest told to stop at the first failure.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from unittest.mock import patch

from coe_lsp.engine.binding import model_parameters

_ASK = (
    "The tests of this Python function fail. Write the repaired function, whole, in one code block."
)
_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


def open_model(path):
    """The model, as the library's README opens it, on all cores."""
    from llama_cpp import Llama

    with patch("llama_cpp.llama_cpp.llama_model_default_params", model_parameters):
        return Llama(str(path), n_ctx=4096, verbose=False, n_threads=2, n_threads_batch=2, seed=0)


def repair(llama, path: Path, function: str | None, tests: list[str], cwd: Path, budget: float):
    """Try until the tests pass or the time is up: (solved, programs tested, seconds)."""
    began = time.monotonic()
    before = path.read_text()
    first, last, source = _find(before, function)
    indent = source[: len(source) - len(source.lstrip())]
    failed = _pytest(tests, cwd)
    tested, seen = 0, {source}
    while time.monotonic() - began < budget:
        answer = llama.create_chat_completion(
            [
                {
                    "role": "user",
                    "content": f"{_ASK}\n\n```python\n{source}\n```\n\n{failed[-1500:]}",
                }
            ],
            temperature=0.8,
            max_tokens=512,
        )
        text = answer["choices"][0]["message"]["content"]
        blocks = _BLOCK.findall(text)
        new = (blocks[-1] if blocks else text).strip("\n")
        if new in seen:
            continue
        seen.add(new)
        lines = before.split("\n")
        indented = textwrap.indent(textwrap.dedent(new), indent)
        lines[first - 1 : last] = indented.split("\n")
        path.write_text("\n".join(lines))
        tested += 1
        if not _pytest(tests, cwd):
            return True, tested, time.monotonic() - began
    path.write_text(before)
    return False, tested, time.monotonic() - began


def _find(text: str, function: str | None) -> tuple[int, int, str]:
    """First and last line of the function (its last part's name), and its text."""
    found = None
    for node in ast.walk(ast.parse(text)):
        named = function is None or getattr(node, "name", "") == function.rpartition(".")[2]
        if isinstance(node, ast.FunctionDef) and named:
            found = node
            break
    lines = text.split("\n")
    if found is None or found.end_lineno is None:
        return 1, len(lines), text
    return found.lineno, found.end_lineno, "\n".join(lines[found.lineno - 1 : found.end_lineno])


def _pytest(tests: list[str], cwd: Path) -> str:
    """What pytest prints; empty if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", *tests]
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "timeout"
    return "" if done.returncode == 0 else done.stdout or "failed"
