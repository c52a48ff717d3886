"""A change as people make it, not committed, with a slip in it: found, repaired, and kept?

    python tests/benchmarks/bench_own_changes.py --count 30 --clones CLONES \
        --out tests/benchmarks/results/own-changes.jsonl

Each task is a commit of a real package (the dev split of `training/bugs/real_bugs.jsonl`, fixes and
features of three lines or more). What it changes lies in the working tree of a git repository whose
last commit has what was there before, and one of its lines has a mistake in it
(`training/demonstrations/mistakes.py`), such that tests fail which the commit itself makes pass. A
repair is given these tests, and mutations alone. Its first patch is *right* if with it all tests
pass that pass with the commit, and *keeps the change* if it does not take lines of it back.

The same seed makes the same slips. Rows are written one by one; a second call goes on.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path

from bug_judge import Judge, is_human, patched_texts

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import ProjectOptions
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.target.source import SourceFile, split_lines, unified_diff
from coe_lsp.repair.way_in import WayIn
from training.bugs.bugs import load_bugs, project_of
from training.bugs.checkout import check_out
from training.bugs.command import bug_store
from training.bugs.packages import read_packages
from training.bugs.store import Store
from training.demonstrations.mistakes import make_mistakes

LEAST_LINES, MOST_SLIPS, MOST_TESTS = 3, 12, 20
BUGS = Path("training/bugs/real_bugs.jsonl")


class Quiet:
    """Watches nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def commits(seed):
    """The changes to put slips into, the packages in turn."""
    bugs = [bug for bug in load_bugs(BUGS, split="dev") if bug.added >= LEAST_LINES]
    random.Random(seed).shuffle(bugs)
    taken, order = {}, []
    for bug in bugs:
        mine = taken.setdefault(project_of(bug), [])
        if not any(bug.origin == other.origin for other in mine):  # parts of one commit
            mine.append(bug)
            order.append((len(mine), project_of(bug), bug))
    return [bug for *_, bug in sorted(order, key=lambda entry: entry[:2])]


def new_lines(before, after):
    """The lines (1-based) of a text that are not in the one before."""
    matcher = difflib.SequenceMatcher(None, split_lines(before), split_lines(after), autojunk=False)
    blocks = (code for code in matcher.get_opcodes() if code[0] != "equal")
    return {n + 1 for _, _, _, start, end in blocks for n in range(start, end)}


def slips(checkout, seed):
    """Texts of a file in which one of the commit's own lines has a mistake: (file, text, kind)."""
    found = []
    for file, text in checkout.fixed.items():
        source = SourceFile.parse(checkout.root / file, text.encode())
        mine = new_lines(checkout.faulty.get(file, ""), text)
        for function in source.functions():
            if mine.isdisjoint(range(function.first, function.last + 1)):
                continue
            lines = source.scratch_lines(function)
            chance = random.Random(f"{seed} {checkout.bug.bug_id} {function.name}")
            for mistake in make_mistakes("\n".join(lines) + "\n", chance, MOST_SLIPS):
                changed = source.replace(function, mistake.text.rstrip("\n").split("\n"))
                touched = new_lines("".join(changed), text)
                if touched and touched <= mine:
                    found.append((file, "".join(changed), mistake.kind))
    random.Random(f"{seed} {checkout.bug.bug_id}").shuffle(found)
    return found


def git(root, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"]
    subprocess.run(["git", "-C", root, *name, *arguments], check=True, capture_output=True)


def measure(bug, options):
    """The row of one commit; None if no slip of it fails a test."""
    packages = {package.name: package for package in read_packages()}
    package, store = packages[bug.origin.package], Store(bug_store(), options.clones)
    with tempfile.TemporaryDirectory(prefix="coe-runner-") as folder:
        needs = hashlib.sha256(repr(package.needs).encode()).hexdigest()[:8]
        kept = store.folder / "steady" / needs
        judge = Judge(check_out(bug, package, store, Path(folder) / "judge"), kept)
        checkout = check_out(bug, package, store, Path(folder) / "user")
        for slip in slips(checkout, options.seed)[:MOST_SLIPS]:
            file, text, kind = slip
            texts = {name: one.encode() for name, one in checkout.fixed.items()}
            texts[file] = text.encode()
            failing = sorted(judge.missing(texts))
            if failing and len(failing) < len(judge.wanted):
                break
        else:
            return None
        print("".join(unified_diff(file, split_lines(checkout.fixed[file]), split_lines(text))))
        git(checkout.root, "init", "-q")
        git(checkout.root, "add", "-A")
        git(checkout.root, "commit", "-qm", "before")
        checkout.write({**checkout.fixed, file: text})
        way = WayIn(checkout.root, tests=tuple(failing[:MOST_TESTS]))
        request = Request(
            way, options=ProjectOptions(python=str(checkout.python)), budget=options.budget
        )
        began = time.monotonic()
        try:
            outcome = Repair(request, None, Quiet()).run()
        except CoeError as error:
            outcome = Outcome("refused", way.file, None, message=str(error))
        seconds = time.monotonic() - began
        first = outcome.patches[0] if outcome.patches else None
        patched = first and {**texts, **patched_texts(first, outcome, checkout.root)}
        return {
            "task": bug.bug_id,
            "package": bug.origin.package,
            "kind": kind,
            "lines": bug.added,
            "failing": len(failing),
            "status": outcome.status,
            "seconds": round(seconds, 2),
            "first": outcome.seconds.first and round(outcome.seconds.first, 2),
            "tested": outcome.attempts,
            "keeps": None if first is None else not first.takes_back,
            "right": None if first is None else judge.is_right(patched),
            "human": None if first is None else is_human(patched, checkout),
            "reverts": any(patch.takes_back for patch in outcome.patches),
            "message": outcome.message[:200] if outcome.status != "repaired" else "",
        }


def main():
    """Measure, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--clones", type=Path, help="clones of the commits' repositories")
    parser.add_argument("--machine", default="2 cores, x86_64")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    about = {
        "tasks": "real_bugs#dev",
        "seed": options.seed,
        "budget": options.budget,
        "commit": commit.stdout.strip(),
        "machine": options.machine,
    }
    lines = options.out.read_text().splitlines() if options.out.exists() else [json.dumps(about)]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    known = {row["task"] for row in map(json.loads, lines[1:])}
    made = len(known)
    for bug in commits(options.seed):
        if made >= options.count:
            break
        if bug.bug_id in known:
            continue
        try:
            row = measure(bug, options)
        except CoeError as error:
            print(f"{bug.bug_id}: {error}", flush=True)
            continue
        if row is not None:
            made += 1
            print(json.dumps(row), flush=True)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
