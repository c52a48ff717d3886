"""How often the function at fault is among the first, and what each feature of a place is worth.

    python tests/benchmarks/learn_places.py see "training/bugs/real_bugs.jsonl#train" \\
        --clones CLONES --out train.jsonl
    python tests/benchmarks/learn_places.py show test.jsonl
    python tests/benchmarks/learn_places.py learn train.jsonl --also dev.jsonl test.jsonl

`see` checks out each bug and runs the tests that fail, alone and with all of their files; a third of
what the human fix needs is hidden, as in the other benchmarks. `show` counts at which places the
right file and function come, with the weights that are in use. `learn` fits weights on one file,
held near those that are in use, and measures both on that file (each package with weights learned
from the others) and on others: it prints the line for `coe_lsp/repair/target/places.py` and a table.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from pathlib import Path

import torch
from bug_judge import places_of_fix
from bug_trials import choose_hidden, load_trials, without_tests

from coe_lsp.errors import CoeError
from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.repair.scout import scout
from coe_lsp.repair.target.places import WEIGHTS, Features, describe_place, find_places
from coe_lsp.repair.target.source import SourceFile, split_lines
from training.bugs.bugs import project_of
from training.bugs.checkout import check_out
from training.bugs.command import bug_store
from training.bugs.packages import read_packages
from training.bugs.store import Store

PACKAGES = Path(__file__).parents[2] / "training/bugs/packages.toml"
SECONDS = 60.0
WAYS = ("tests alone", "whole files")
FIRST = (1, 3, 5)
HOLDS = (0.003, 0.01, 0.03, 0.1, 0.3)


def see(options):
    """One row a bug and way: features of all places, and which of them the human fix changes."""
    packages = {package.name: package for package in read_packages(PACKAGES)}
    store = Store(bug_store(), options.clones)
    done = set()
    if options.out.exists():
        done = {json.loads(line)["bug"] for line in options.out.read_text().splitlines()}
    for bug in load_trials(options.list, options.count or 10_000, 0):
        if bug.bug_id in done:
            continue
        with tempfile.TemporaryDirectory(prefix="coe-place-") as folder:
            try:
                rows = _rows(bug, packages[bug.origin.package], store, Path(folder))
            except (CoeError, KeyError) as error:
                rows = [{"bug": bug.bug_id, "way": "", "error": str(error)[:200]}]
        with options.out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        print(bug.bug_id, [row.get("seconds", row.get("error")) for row in rows], flush=True)


def _rows(bug, package, store, folder):
    checkout = check_out(bug, package, store, folder)
    hidden = choose_hidden(bug, checkout.root)
    for name in {test.partition("::")[0] for test in hidden}:
        source = SourceFile.read(checkout.root / name)
        names = [t.split("::")[1:] for t in hidden if t.startswith(f"{name}::")]
        source.path.write_bytes(source.encode(split_lines(without_tests(source.text, names))))
    visible = [test for test in bug.failing if test.partition("[")[0] not in hidden]
    files = list(dict.fromkeys(test.partition("::")[0] for test in visible))
    fix = places_of_fix(checkout)
    options = ProjectOptions(python=str(checkout.python))
    rows = []
    for way, tests in zip(WAYS, (visible, files), strict=True):
        project = Project.of_tests(checkout.root, files, options)
        with project.start_runner() as runner:
            found = scout(checkout.root, runner, tests, SECONDS)
        places = [
            {
                "file": file,
                "function": function.name,
                "lines": function.last - function.first + 1,
                "features": describe_place(file, function, found.seen, found.sources),
                "right": (file, function.name) in fix,
            }
            for file, function in find_places(found.seen, found.sources)
        ]
        rows.append(
            {
                "bug": bug.bug_id,
                "package": project_of(bug),
                "way": way,
                "seconds": round(found.seconds, 2),
                "failing": len(found.targets),
                "fix": sorted(fix),
                "places": places,
            }
        )
    return rows


def load(path):
    """The rows with places, by way."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {way: [row for row in rows if row["way"] == way] for way in WAYS}


def show(options):
    """How many bugs have the right file, and function, among the first 1, 3 and 5."""
    print("| tests | bugs | places by | right file first, in 3, in 5 | right function |")
    print("| --- " * 5 + "|")
    for way, rows in load(options.rows).items():
        rows = [row for row in rows if row["fix"]]
        for name, key in (("the weights in use", in_use), ("Ochiai alone", ochiai)):
            orders = [(row, sorted(row["places"], key=key, reverse=True)) for row in rows]
            files = [first(dict.fromkeys(p["file"] for p in order), {f for f, _ in row["fix"]})
                     for row, order in orders]  # fmt: skip
            functions = [first([p["right"] for p in order], {True}) for _, order in orders]
            counts = [
                ", ".join(str(sum(rank < most for rank in ranks)) for most in FIRST)
                for ranks in (files, functions)
            ]
            print(f"| {way} | {len(rows)} | {name} | {counts[0]} | {counts[1]} |")


def first(things, wanted):
    """At which place (from 0) the first of the wanted things comes; infinity if none does."""
    return next((n for n, thing in enumerate(things) if thing in wanted), math.inf)


def in_use(place):
    """A place's score as a repair has it."""
    return score(place["features"], WEIGHTS._asdict())


def ochiai(place):
    """The suspiciousness of its most suspect line; of equal ones the shorter function."""
    return place["features"][0], -place["lines"]


def learn(options):
    """Fit on both ways together, each package as much as any other; print weights and tables."""
    train = [row for rows in load(options.rows).values() for row in rows]
    hold, across = choose_hold(train)
    weights = fit(train, hold)
    print("WEIGHTS = Features(" + ", ".join(f"{n}={w:.2f}" for n, w in weights.items()) + ")")
    print(f"held by {hold}")
    print("\nshare with a function of the human fix among the first 1, 3, 5\n")
    print("| bugs of | tests | bugs | Ochiai alone | in use | learned | functions to choose from |")
    print("| --- " * 7 + "|")
    for path in (options.rows, *options.also):
        of_package = across if path == options.rows else {}
        for way, rows in load(path).items():
            rows = [row for row in rows if row["fix"]]
            plain = tops(rows, lambda x, _: ochiai(x))
            used = tops(rows, lambda x, _: in_use(x))
            learned = tops(
                rows,
                lambda x, row, known=of_package: score(
                    x["features"], known.get(row["package"], weights)
                ),
            )
            sizes = sorted(len(row["places"]) for row in rows)
            middle = sizes[len(sizes) // 2]
            print(
                f"| {path.stem} | {way} | {len(rows)} | {plain} | {used} | {learned} | {middle} |"
            )


def choose_hold(train):
    """How strongly to hold weights where they are, and those for each package by the others."""
    best = (-math.inf, None, None)
    for hold in HOLDS:
        across = {
            package: fit([row for row in train if row["package"] != package], hold)
            for package in sorted({row["package"] for row in train})
        }
        likely = sum(log_likelihood(row, across[row["package"]]) for row in train)
        best = max(best, (likely, hold, across), key=lambda entry: entry[0])
    return best[1:]


def log_likelihood(row, weights):
    """Of a function of the fix being drawn, natural; 0 where none is among the places."""
    scores = [score(place["features"], weights) for place in row["places"]]
    right = [s for s, place in zip(scores, row["places"], strict=True) if place["right"]]
    if not right:
        return 0.0
    return math.log(sum(map(math.exp, right))) - math.log(sum(map(math.exp, scores)))


def score(features, weights):
    """The score of one place."""
    return sum(w * x for w, x in zip(weights.values(), features, strict=True))


def tops(rows, key):
    """How many bugs have a right place among the first 1, 3 and 5, in percent with intervals."""
    hits = []
    for row in rows:
        order = sorted(row["places"], key=lambda place: key(place, row), reverse=True)
        hits.append(first([place["right"] for place in order], {True}))
    said = []
    for most in FIRST:
        found = [rank < most for rank in hits]
        draw = random.Random(0)
        means = sorted(sum(draw.choices(found, k=len(found))) / len(found) for _ in range(2000))
        share = sum(found) / len(found)
        said.append(f"{share:.0%} ({means[50]:.0%} to {means[1949]:.0%})")
    return " / ".join(said)


def fit(rows, hold, steps=400):
    """Weights that make the right places likeliest (softmax over a bug's places).

    What is in use is what they begin with, and are held to by `hold` (L2).
    """
    rows = [row for row in rows if any(place["right"] for place in row["places"])]
    count = {}
    for row in rows:
        count[row["package"]] = count.get(row["package"], 0) + 1
    data = [
        (
            torch.tensor([place["features"] for place in row["places"]]),
            torch.tensor([place["right"] for place in row["places"]]),
            1 / math.sqrt(count[row["package"]]),
        )
        for row in rows
    ]
    used = torch.tensor(WEIGHTS)
    weights = used.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=0.05)
    for _ in range(steps):
        loss = hold * (weights - used).square().sum()
        for features, right, share in data:
            logits = features @ weights
            loss = loss - share * (logits[right].logsumexp(0) - logits.logsumexp(0)) / len(data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(zip(Features._fields, weights.tolist(), strict=True))


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("see")
    command.add_argument("list")
    command.add_argument("--clones", type=Path)
    command.add_argument("--count", type=int)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=see)
    command = commands.add_parser("show")
    command.add_argument("rows", type=Path)
    command.set_defaults(run=show)
    command = commands.add_parser("learn")
    command.add_argument("rows", type=Path)
    command.add_argument("--also", type=Path, nargs="*", default=[])
    command.set_defaults(run=learn)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
