"""A real bug as a user meets it: a checkout whose tests fail, some tests of the fix missing.

A third of the test functions that the human fix needs is taken out of the checkout (none if there
are fewer than three). A patch is *right* if with it every test passes that passes with the human
fix, hidden ones too: the whole suite is run in a checkout that the repair never saw.
"""

from __future__ import annotations

import ast
import json
import random
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from functools import cache
from pathlib import Path

from arms import ARMS, WITHOUT_MODEL, Quiet

from coe_lsp.errors import CoeError
from coe_lsp.execution.discovery import find_test_files
from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.parsing import parse
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from training.bugs.bugs import load_bugs
from training.bugs.checkout import check_out
from training.bugs.command import bug_store
from training.bugs.packages import read_packages
from training.bugs.store import Store

_LIMITS = Limits(wall_seconds=180.0, test_seconds=10.0, timeouts=3)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def is_list_of_bugs(name):
    """Whether a file of tasks is a list of real bugs."""
    path = Path(name.partition("#")[0])
    return path.suffix == ".jsonl" and '"bug_id"' in path.read_text("utf-8")[:200]


def load_trials(name, count, seed):
    """The faults of a list, `path` or `path#split`; a sample takes from each package in turn."""
    path, _, split = name.partition("#")
    bugs = [bug for bug in load_bugs(Path(path), split=split) if bug.kind == "fault"]
    random.Random(seed).shuffle(bugs)
    turn = Counter()
    order = []
    for bug in bugs:
        package = bug.origin.package.rpartition("/")[2].lower()
        turn[package] += 1
        order.append((turn[package], package, bug))
    return [bug for _, _, bug in sorted(order, key=lambda entry: entry[:2])][:count]


class Trial:
    """One bug, made anew for each repair in a folder of its own."""

    def __init__(self, bug, clones):
        self.bug = bug
        self._package = {p.name: p for p in read_packages()}[bug.origin.package]
        self._store = Store(bug_store(), clones)
        functions = dict.fromkeys(test.partition("[")[0] for test in bug.failing)
        names = sorted(functions)
        self.hidden = sorted(random.Random(bug.bug_id).sample(names, len(names) // 3))

    def prepare(self, given, folder):
        """The checkout, and what the user names of it: a path, and a function or None.

        `given` is `file`, `function` or `test`: the file at fault, the function in it if the bug
        has one, or a file with tests that fail.
        """
        checkout = check_out(self.bug, self._package, self._store, folder)
        for file in {test.partition("::")[0] for test in self.hidden}:
            path = checkout.root / file
            names = [t.split("::")[1:] for t in self.hidden if t.startswith(f"{file}::")]
            path.write_text(without_tests(path.read_text("utf-8"), names), "utf-8")
        if given == "test":
            visible = [t for t in self.bug.failing if t.partition("[")[0] not in self.hidden]
            return checkout, checkout.root / visible[0].partition("::")[0], None
        path = checkout.root / self.bug.files[0]
        return checkout, path, self.bug.function if given == "function" else None

    def is_right(self, texts):
        """Whether files with these texts (bytes by path) pass all that the human fix passes."""
        with tempfile.TemporaryDirectory(prefix="coe-judge-") as folder:
            checkout = check_out(self.bug, self._package, self._store, Path(folder))
            wanted = self._steady(checkout)
            for path, data in texts.items():
                (checkout.root / path).write_bytes(data)
            return wanted <= passing_tests(checkout)

    def _steady(self, checkout):
        """The tests that pass twice with the human fix; kept beside the store."""
        kept = bug_store() / "steady" / f"{self.bug.digest}.json"
        if not kept.exists():
            checkout.write(checkout.fixed)
            steady = passing_tests(checkout) & passing_tests(checkout)
            checkout.write(checkout.faulty)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(sorted(steady)), "utf-8")
        return set(json.loads(kept.read_text("utf-8")))


def measure_bug(bug, arm, model, options):
    """The row of one repair of a real bug by one arm, with its model in memory."""
    trial = Trial(bug, options.clones)
    wanted = model is not None and arm not in WITHOUT_MODEL
    if wanted:  # else an arm would find its prompt read by the one before
        model._opening.truncate(0)
    policy = model.policy() if wanted else nullcontext()
    with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder, policy as loaded:
        outcome, seconds, right, human = repair_bug(
            trial, options.given, ARMS[arm], loaded, options.budget, Path(folder)
        )
    return {
        "task": bug.bug_id,
        "arm": arm,
        "given": options.given,
        "package": bug.origin.package,
        "size": bug.size,
        "hidden_tests": len(trial.hidden),
        "status": outcome.status,
        "seconds": round(seconds, 2),
        "first": outcome.seconds.first and round(outcome.seconds.first, 2),
        "tested": outcome.attempts,
        "patches": len(outcome.patches),
        "right": right[0] if right else None,
        "right_any": any(right) if right else None,
        "human": any(human) if human else None,
        "function": outcome.function,
        "at_fault": outcome.function == bug.function if bug.function else None,
        "message": outcome.message[:200] if outcome.status != "repaired" else "",
        "commands": [list(patch.commands) for patch in outcome.patches],
    }


def repair_bug(trial, given, search, loaded, budget, folder):
    """One repair of a real bug: its outcome, seconds, and what is to be known of each patch."""
    checkout, path, function = trial.prepare(given, folder)
    request = Request(
        path,
        function,
        options=ProjectOptions(python=str(checkout.python)),
        budget=budget,
        samples=search.samples,
        search=search,
    )
    began = time.monotonic()
    try:
        outcome = Repair(request, loaded and (lambda: nullcontext(loaded)), Quiet()).run()
    except CoeError as error:  # a refusal repairs nothing
        outcome = Outcome("failed", path.name, function, message=str(error))
    seconds = time.monotonic() - began
    right, human = [], []
    if outcome.status == "repaired":
        for patch in outcome.patches:
            texts = patched_texts(patch, outcome, checkout.root)
            right.append(trial.is_right(texts))
            human.append(is_human(texts, checkout))
    return outcome, seconds, right, human


def patched_texts(repaired, outcome, root):
    """The bytes of each file that a patch changes, by path relative to the root."""
    changed = repaired.patch.apply(outcome.sources)
    return {
        source.path.resolve().relative_to(root).as_posix(): source.encode(source.lines)
        for source in changed.values()
    }


def is_human(texts, checkout):
    """Whether the files are what people made of them, but for layout and comments."""
    return all(
        tree_of(texts.get(path, b"").decode()) == tree_of(fixed)
        for path, fixed in checkout.fixed.items()
    ) and set(texts) <= set(checkout.fixed)


def passing_tests(checkout):
    """The ids of all tests of a checkout that pass as its files are now."""
    sandbox, root = find_sandbox("auto"), checkout.root
    files = tuple(sorted(p.relative_to(root).as_posix() for p in find_test_files(root)))
    suite = Suite("pytest", root, root / checkout.bug.files[0], files)
    with Worker(suite, probe(checkout.python, root, sandbox), sandbox, _LIMITS) as worker:
        run = worker.run()
    return {result.id for result in run.results if result.outcome == "passed"}


def without_tests(text, names):
    """The text of a test file without some tests, each given as its name below its classes."""
    lines = text.splitlines(keepends=True)
    for path in names:
        block = find_definition(parse(text).body, path)
        if block is None:
            continue
        first = min([block.lineno, *(d.lineno for d in block.decorator_list)])
        indent = lines[block.lineno - 1][: block.col_offset]
        # Something has to be left of a class; lines keep their numbers for what else is taken out.
        gone = [f"{indent}pass\n"] + ["\n"] * (block.end_lineno - first)
        lines[first - 1 : block.end_lineno] = gone
    return "".join(lines)


def find_definition(body, path):
    """The function or class of that name, below the classes before it; None if there is none."""
    node = None
    for name in path:
        # The last one of a name is what Python keeps.
        fitting = [n for n in body if isinstance(n, _DEFINITIONS) and n.name == name]
        if not fitting:
            return None
        node = fitting[-1]
        body = node.body
    return node


@cache
def tree_of(text):
    """The syntax tree of a text, as one can compare it; None if it does not parse."""
    try:
        return ast.dump(parse(text))
    except SyntaxError:
        return None
