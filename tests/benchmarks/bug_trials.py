"""A real bug as a user meets it: a checkout whose tests fail, some tests of the fix missing.

A third of the test functions that the human fix needs is taken out of the checkout (none if there
are fewer than three), as tests that nobody has written yet. All arms repair the same checkout,
which a repair never writes to, one after the other. Whether a patch is right is `bug_judge.py`'s
affair.
"""

from __future__ import annotations

import ast
import hashlib
import random
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from arms import ARMS, Clock
from bug_judge import Judge, is_human, patched_texts, places_of_fix

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.parsing import parse
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.source import SourceFile, split_lines, unified_diff
from coe_lsp.repair.way_in import WayIn, way_of
from training.bugs.bugs import load_bugs, project_of
from training.bugs.checkout import check_out
from training.bugs.command import bug_store
from training.bugs.harvest import find_definitions
from training.bugs.packages import read_packages
from training.bugs.store import Store

GIVEN = ("file", "function", "test")


def is_list_of_bugs(name):
    """Whether a file of tasks is a list of real bugs."""
    path = Path(name.partition("#")[0])
    if path.suffix != ".jsonl":
        return False
    with path.open(encoding="utf-8") as file:
        return '"bug_id"' in file.readline()


def load_trials(name, count, seed, given="file"):
    """The faults of a list, `path` or `path#split`; a sample takes from each package in turn.

    If the function is to be given, those that lie within one. Of a change that is in the list in
    parts and as a whole only one is taken: they would count as independent.
    """
    path, _, split = name.partition("#")
    bugs = [bug for bug in load_bugs(Path(path), split=split) if bug.kind == "fault"]
    if given == "function":
        bugs = [bug for bug in bugs if bug.function]
    random.Random(seed).shuffle(bugs)
    apart = []
    for bug in bugs:
        if not any(_overlap(bug, other) for other in apart):
            apart.append(bug)
    turn = Counter()
    order = []
    for bug in apart:
        package = project_of(bug)
        turn[package] += 1
        order.append((turn[package], package, bug))
    return [bug for _, _, bug in sorted(order, key=lambda entry: entry[:2])][:count]


def _overlap(one, other):
    """Whether two bugs may take back the same lines of a version."""
    if project_of(one) != project_of(other) or one.origin.after != other.origin.after:
        return False
    if not set(one.files) & set(other.files):
        return False
    return one.function == other.function or None in (one.function, other.function)


class Trial:
    """One bug, made anew in a folder: a checkout for the user, and one for the judge."""

    def __init__(self, bug, package, store, folder):
        """CoeError if it cannot be made, or its tests do not see the human fix."""
        self.bug = bug
        needs = hashlib.sha256(repr(package.needs).encode()).hexdigest()[:8]
        self.judge = Judge(
            check_out(bug, package, store, folder / "judge"), store.folder / "steady" / needs
        )
        self.checkout = check_out(bug, package, store, folder / "user")
        self.hidden = choose_hidden(bug, self.checkout.root)
        for file in {test.partition("::")[0] for test in self.hidden}:
            source = SourceFile.read(self.checkout.root / file)
            names = [t.split("::")[1:] for t in self.hidden if t.startswith(f"{file}::")]
            lines = split_lines(without_tests(source.text, names))
            source.path.write_bytes(source.encode(lines))

    def named(self, given):
        """What the user names: `file` (the first one at fault), `function` (in it), or `test`.

        The last stands for all tests that fail, but for the hidden ones.
        """
        root = self.checkout.root
        if given == "test":
            visible = [t for t in self.bug.failing if t.partition("[")[0] not in self.hidden]
            return WayIn(root, tests=tuple(visible))
        return way_of(root / self.bug.files[0], self.bug.function if given == "function" else None)

    def human_diff(self):
        """The human fix, as a diff of the faulty files."""
        fixed, faulty = self.checkout.fixed, self.checkout.faulty
        return "".join(
            unified_diff(path, split_lines(faulty[path]), split_lines(fixed[path]))
            for path in sorted(fixed)
        )


def choose_hidden(bug, root):
    """The test functions to take out of a checkout, always the same ones of a bug.

    A third of those that fail, of those that stand in a file by their own name (others are
    inherited, or made as the tests run); at least one if three or more fail.
    """
    functions = sorted({test.partition("[")[0] for test in bug.failing})
    found = [test for test in functions if _stands_in_file(test, root)]
    return sorted(random.Random(bug.bug_id).sample(found, min(len(functions) // 3, len(found))))


def _stands_in_file(test, root):
    file, *names = test.split("::")
    try:
        return bool(find_definitions(parse(SourceFile.read(root / file).text).body, names))
    except (CoeError, SyntaxError):
        return False


def without_tests(text, names):
    """The text of a test file without some tests, each given as its name below its classes."""
    tree = parse(text)
    gone = {node for path in names for node in find_definitions(tree.body, path)}
    emptied = {
        owner.body[0]
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef) and gone.issuperset(owner.body)
    }
    lines = list(split_lines(text))
    for node in sorted(gone, key=lambda node: node.lineno, reverse=True):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        indent = lines[node.lineno - 1][: node.col_offset]
        lines[first - 1 : node.end_lineno] = [f"{indent}pass\n"] if node in emptied else []
    return "".join(lines)


def measure_bug(bug, arms, models, options):
    """The row of each arm's repair of a bug, and of its patches what `show_repairs.py` shows.

    What people did comes with each. CoeError if the bug cannot be made.
    """
    packages = {package.name: package for package in read_packages()}
    store = Store(bug_store(), options.clones)
    with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
        trial = Trial(bug, packages[bug.origin.package], store, Path(folder))
        for arm in arms:
            with models.policy(arm) as loaded:
                yield measure_arm(trial, arm, loaded, models.load_second(arm), options)


def measure_arm(trial, arm, loaded, load_second, options):
    """One repair of a bug by one arm: its row, and its patches with the human fix."""
    bug, clock = trial.bug, Clock()
    began = time.monotonic()
    outcome = repair_bug(trial, arm, loaded, load_second, options.given, options.budget, clock)
    seconds = time.monotonic() - began
    texts = [patched_texts(patch, outcome, trial.checkout.root) for patch in outcome.patches]
    right = [trial.judge.is_right(changed) for changed in texts]
    human = [is_human(changed, trial.checkout) for changed in texts]
    places = places_of_fix(trial.checkout)
    row = {
        "task": bug.bug_id,
        "arm": arm,
        "given": options.given,
        "package": bug.origin.package,
        "kind": bug.unit,
        "size": bug.size,
        "hidden_tests": len(trial.hidden),
        "status": outcome.status,
        "seconds": round(seconds, 2),
        "baseline": clock.baseline_seconds,
        "first": outcome.seconds.first and round(outcome.seconds.first, 2),
        "tests": clock.tests,
        "tested": outcome.attempts,
        "patches": len(outcome.patches),
        "right": right[0] if right else None,
        "right_any": any(right) if right else None,
        "human": human[0] if human else None,
        "edit": outcome.patches[0].kind if outcome.patches else None,
        "tried": dict(sorted(outcome.kinds.items())),
        "function": outcome.function,
        "at_fault": (outcome.file, outcome.function) in places if places else None,
        "message": outcome.message[:300] if outcome.status != "repaired" else "",
    }
    shown = [
        {"diff": patch.diff, "reason": patch.reason, "right": fits, "human": same}
        for patch, fits, same in zip(outcome.patches, right, human, strict=True)
    ]
    return row, {"human": trial.human_diff(), "patches": shown}


def repair_bug(trial, arm, loaded, load_second, given, budget, clock):
    """One repair, as a user asks for it; what goes wrong with it is an outcome too.

    `refused` is what the user is told to put right, `crashed` what nobody is told.
    """
    way, search = trial.named(given), ARMS[arm].search
    request = Request(
        way,
        options=ProjectOptions(python=str(trial.checkout.python)),
        budget=budget,
        samples=search.samples,
        search=search,
    )
    load = None if loaded is None else lambda: nullcontext(loaded)
    try:
        return Repair(request, load, clock, load_second=load_second).run()
    except CoeError as error:
        return Outcome("refused", way.file, way.function, message=str(error))
    except Exception as error:
        return Outcome(
            "crashed", way.file, way.function, message=f"{type(error).__name__}: {error}"
        )
