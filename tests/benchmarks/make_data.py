"""Makes the task files that the benchmarks measure on, from what their authors published.

    python tests/benchmarks/make_data.py --out data [--sources FOLDER]

Two files are made in the form that `training/tasks/tasks.py` describes:

* `humanevalfix-dev.jsonl`: every second task of HumanEvalFix (OctoPack, Muennighoff et al. 2023).
* `debugbench-dev.jsonl`: half of the problems of DebugBench's Python part (Tian et al. 2024), those
  whose numbers are in `debugbench_dev.json`. The tests are the examples of the problem statement.

The sources are fetched from GitHub at a fixed commit. Where GitHub cannot be reached, put the files
that the message names into a folder and name it with `--sources`. Each file that is made is compared
with the checksum of the one that the committed results were measured on. Nothing is executed here:
`python -m training evaluate` checks that each reference passes its tests before it measures.

MBPP needs no script: `python -m training` fetches it when a task file is named `mbpp`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
import textwrap
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HUMANEVALFIX = (
    "https://raw.githubusercontent.com/bigcode-project/octopack/"
    "e17a8f6470264286bc6a52eb8263582083bf3bf6/evaluation/create/humaneval-x/data/python/data/"
)
DEBUGBENCH = (
    "https://raw.githubusercontent.com/thunlp/DebugBench/"
    "2761bab93c4c65351b19d0ef4a94b26abe47a185/benchmark/"
)
SHA256 = {
    "humanevalfix-dev.jsonl": "7be2cd1448d7785a5fc065de1cab6ffcc41c0ab755309cafc79bb08e09e80580",
    "debugbench-dev.jsonl": "78de71d7c16f8d14314428886e7a533e6f756c0b46bc5f351d6560ce56876aeb",
}
BUG_COUNTS = {"double": 2, "triple": 3, "quadruple": 4}
# The reference solution fails the first example of this problem.
WRONG_EXAMPLES = {("minimum-speed-to-arrive-on-time", 0)}
# Its answer is right in any order.
UNORDERED = {"reveal-cards-in-increasing-order"}

IMPORTS = """\
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import bisect_left, bisect_right, insort
from collections import Counter, OrderedDict, defaultdict, deque
from functools import cache, cmp_to_key, lru_cache, partial, reduce
from heapq import heapify, heappop, heappush, heappushpop, heapreplace, nlargest, nsmallest, merge
from itertools import accumulate, chain, combinations, count, cycle, groupby, islice, pairwise, permutations, product, repeat, starmap, zip_longest
from math import ceil, comb, factorial, floor, gcd, inf, isqrt, lcm, log, log2, pi, sqrt, prod
from operator import add, itemgetter, mul, sub, xor
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from typing import Any, Dict, Deque, DefaultDict, Generator, Iterable, Iterator, List, Optional, Set, Tuple, Union
"""
TREES = """\
class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right
def _tree(a):
    if not a:
        return None
    it = iter(a)
    root = TreeNode(next(it))
    q = collections.deque([root])
    while q:
        n = q.popleft()
        for side in ('left', 'right'):
            v = next(it, None)
            if v is not None:
                c = TreeNode(v)
                setattr(n, side, c)
                q.append(c)
    return root
def _untree(r):
    a, q = [], collections.deque([r])
    while q and len(a) < 10000:
        n = q.popleft()
        if n is None:
            a.append(None)
        else:
            a.append(n.val)
            q.append(n.left)
            q.append(n.right)
    while a and a[-1] is None:
        a.pop()
    return a
"""
LINKED_LISTS = """\
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next
def _list(a):
    h = None
    for v in reversed(a):
        h = ListNode(v, h)
    return h
def _unlist(h):
    a = []
    while h is not None and len(a) < 10000:
        a.append(h.val)
        h = h.next
    return a
"""


def humanevalfix_tasks(sources: Path | None) -> Iterator[dict[str, Any]]:
    """HumanEvalFix's tasks with even numbers."""
    for line in read_source(HUMANEVALFIX, "humanevalpack.jsonl", sources).splitlines():
        row = json.loads(line)
        number = int(row["task_id"].partition("/")[2])
        if number % 2:
            continue
        head = row["declaration"].strip("\n") + "\n"
        yield {
            "task_id": f"humanevalfix/{number}",
            "source": "humanevalfix",
            "split": "dev",
            "licence": "MIT",
            "prompt": row["docstring"],
            "setup": "",
            "code": head + row["buggy_solution"],
            "reference": head + row["canonical_solution"],
            "tests": list(statements_of_check(row["test"])),
            "entry_point": row["entry_point"],
            "bug_type": row["bug_type"],
        }


def statements_of_check(text: str) -> Iterator[str]:
    """The statements in the body of the function `check`, as they are written."""
    check = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    lines = text.split("\n")
    for node in check.body:
        block = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        yield textwrap.dedent(block).rstrip()


def debugbench_tasks(sources: Path | None) -> Iterator[dict[str, Any]]:
    """DebugBench's tasks that `debugbench_dev.json` names: numbers by kind of bug."""
    chosen = json.loads(Path(__file__).with_name("debugbench_dev.json").read_text())
    for kind, numbers in chosen.items():
        rows = json.loads(read_source(DEBUGBENCH, f"python3_{kind}.json", sources))
        for number in numbers:
            row = rows[number]
            setup, tests = example_tests(row)
            yield {
                "task_id": f"debugbench/python3/{kind.replace(' ', '_')}/{number}",
                "source": "debugbench",
                "split": "dev",
                "licence": "Apache-2.0",
                "prompt": row["slug"].replace("-", " "),
                "setup": setup,
                "code": row["buggy_code"].strip("\n") + "\n",
                "reference": row["oracle_code"].strip("\n") + "\n",
                "tests": tests,
                "entry_point": None,
                "bug_type": kind,
                "n_bugs": BUG_COUNTS.get(kind, 1),
                "slug": row["slug"],
            }


def example_tests(row: dict[str, Any]) -> tuple[str, list[str]]:
    """What the tests need to be defined first, and a test for each example of the statement."""
    program = ast.parse(row["oracle_code"].strip("\n"))
    classes = {node.name: node for node in program.body if isinstance(node, ast.ClassDef)}
    solution = classes.get("Solution") or list(classes.values())[-1]
    examples = [
        text
        for number, text in enumerate(row["examples"])
        if (row["slug"], number) not in WRONG_EXAMPLES
    ]
    if solution.name != "Solution":
        return IMPORTS, [design_test(solution.name, text) for text in examples]
    inputs = [read_example(text) for text in examples]
    method = find_method(solution, set(inputs[0][0]))
    types = ast.unparse(method.args) + " -> " + ast.unparse(method.returns or ast.Constant(None))
    setup = IMPORTS
    setup += TREES if "TreeNode" in types else ""
    setup += LINKED_LISTS if "ListNode" in types else ""
    unordered = row["slug"] in UNORDERED
    return setup, [solution_test(method, values, out, unordered) for values, out in inputs]


def find_method(solution: ast.ClassDef, parameters: set[str]) -> ast.FunctionDef:
    """The method that takes the example's parameters, else the first one that is public."""
    methods = [node for node in solution.body if isinstance(node, ast.FunctionDef)]
    public = [node for node in methods if not node.name.startswith("_")]
    named = [m for m in public if parameters == {arg.arg for arg in m.args.args[1:]}]
    return (named or public)[0]


def read_example(text: str) -> tuple[dict[str, Any], Any]:
    """Parameters and result of `Input: a = [1], b = 2`, `Output: true`."""
    given = text.partition("Input:")[2].partition("Output:")[0].strip()
    wanted = text.partition("Output:")[2].partition("Explanation")[0].strip()
    call = ast.parse(f"f({given})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {k.arg or "": evaluate(k.value) for k in call.keywords}, read_value(wanted)


def read_value(text: str) -> Any:
    """A value as the statements write it: JSON's names among Python's literals."""
    return evaluate(ast.parse(text, mode="eval").body)


def evaluate(node: ast.expr) -> Any:
    """The value of a literal in which `null`, `true` and `false` may stand."""

    class Names(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Constant({"null": None, "true": True, "false": False}[node.id])

    return ast.literal_eval(Names().visit(node))


def solution_test(
    method: ast.FunctionDef, values: dict[str, Any], wanted: Any, unordered: bool
) -> str:
    """A statement that calls the method and compares what it returns, or what it changed."""
    parameters = method.args.args[1:]
    arguments = [
        build(parameter.annotation, value)
        for parameter, value in zip(parameters, values.values(), strict=True)
    ]
    returns = ast.unparse(method.returns) if method.returns else ""
    if returns == "None":
        return f"_a = {arguments[0]}\nSolution().{method.name}(_a)\nassert _a == {wanted!r}"
    call = f"Solution().{method.name}({', '.join(arguments)})"
    if "TreeNode" in returns:
        call = f"_untree({call})"
    elif "ListNode" in returns:
        call = f"_unlist({call})"
    if isinstance(wanted, float):
        return f"assert abs({call} - {wanted!r}) < 1e-05"
    if isinstance(wanted, list) and wanted and all(isinstance(item, float) for item in wanted):
        return (
            f"assert all(abs(_p - _q) < 1e-05 for _p, _q in zip({call}, {wanted!r}, strict=True))"
        )
    if unordered:
        return f"assert sorted({call}) == {sorted(wanted)!r}"
    return f"assert {call} == {wanted!r}"


def build(annotation: ast.expr | None, value: Any) -> str:
    """The expression for an argument; trees and linked lists are made of the lists given."""
    text = ast.unparse(annotation) if annotation else ""
    if "TreeNode" in text:
        return f"_tree({value!r})"
    return f"_list({value!r})" if "ListNode" in text else repr(value)


def design_test(name: str, text: str) -> str:
    """A test of a class: the example lists its calls, their arguments and what they return."""
    given = text.partition("Input")[2].partition("Output")[0].strip()
    wanted = text.partition("Output")[2].partition("Explanation")[0].strip()
    calls, arguments = (read_value(line) for line in given.split("\n"))
    made = [f"_o = {name}(*{arguments[0]!r})"]
    for call, given_to, result in zip(
        calls[1:], arguments[1:], read_value(wanted)[1:], strict=True
    ):
        made.append(f"assert _o.{call}({', '.join(map(repr, given_to))}) == {result!r}")
    return "\n".join(made)


def read_source(base: str, name: str, sources: Path | None) -> str:
    """A published file: from the folder if one is given, else from GitHub."""
    if sources is not None:
        return (sources / name).read_text(encoding="utf-8")
    address = base + urllib.parse.quote(name)
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.read().decode("utf-8")
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(
            f"{address} cannot be fetched ({error}). Put that file into a folder on this machine "
            "and name the folder with --sources."
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="a folder (%(default)s)")
    parser.add_argument("--sources", type=Path, help="a folder that holds the published files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = {
        "humanevalfix-dev.jsonl": humanevalfix_tasks(options.sources),
        "debugbench-dev.jsonl": debugbench_tasks(options.sources),
    }
    same = True
    for name, tasks in made.items():
        lines = [json.dumps(task, ensure_ascii=False) for task in tasks]
        data = ("\n".join(lines) + "\n").encode()
        (options.out / name).write_bytes(data)
        as_measured = hashlib.sha256(data).hexdigest() == SHA256[name]
        same = same and as_measured
        remark = "as measured" if as_measured else "NOT the file that was measured"
        print(f"{options.out / name}: {len(lines)} tasks, {remark}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
