"""How many of people's small fixes one mutant makes, and how early it would be tried.

    python tests/benchmarks/mutation_reach.py changes.jsonl --split dev --clones CLONES

The changes are gathered from clones once, and kept in the file.
Fixes are commits of listed repositories that change one function by a few lines, and tests. A fix
is reached if a mutant of the function before it means the same as the function after it. Ranks are
by weight alone: no test is run, so no line is more suspect than another. With --missed the fixes
that no mutant makes are shown as diffs; look at those of the train split only.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from coe_lsp.mutations.mutants import Mutant, mutants
from coe_lsp.mutations.surroundings import surroundings
from training.bugs.bugs import BugError
from training.bugs.packages import read_packages
from training.bugs.small_changes import SmallChange, find_small_changes
from training.meaning import meaning

_IGNORED = str.maketrans("", "", " \t\n()'\"\\,")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("changes", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--clones", type=Path)
    parser.add_argument("--commits", type=int, default=1500)
    parser.add_argument("--lines", type=int, default=6)
    parser.add_argument("--of-repository", type=int, default=25)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.changes.exists():
        gathered = [attrs.asdict(change) for change in _gather(options)]
        options.changes.write_text("".join(json.dumps(change) + "\n" for change in gathered))
    changes = [read_change(line) for line in options.changes.read_text().splitlines()]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(reach, changes, chunksize=4))
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))
    for change, row in zip(changes, rows, strict=True):
        if options.missed and row["rank"] is None:
            print(f"\n=== {change.name} ({change.size})")
            diff = difflib.unified_diff(change.before, change.after, lineterm="", n=2)
            print("\n".join(list(diff)[2:]))


def read_change(line: str) -> SmallChange:
    data = json.loads(line)
    return SmallChange(**data | {n: tuple(data[n]) for n in ("before", "after")})


def _gather(options: argparse.Namespace) -> Iterator[SmallChange]:
    for package in read_packages():
        clone = options.clones / package.name
        if package.split != options.split or not package.is_repository or not clone.exists():
            continue
        try:
            all_of_it = find_small_changes(clone, commits=options.commits, most_lines=options.lines)
            found = list(itertools.islice(all_of_it, options.of_repository))
        except BugError as error:
            print(error, file=sys.stderr)
            continue
        print(f"{package.name}: {len(found)}", file=sys.stderr)
        yield from found


def reach(change: SmallChange) -> dict[str, Any]:
    """The rank (from 1) and kind of the mutant that is the fix, None if none is."""
    row: dict[str, Any] = {"name": change.name, "size": change.size, "rank": None, "kind": None}
    number, wanted = 0, Wanted(change)
    enclosing = surroundings(change.module, change.owner)
    for number, mutant in enumerate(mutants(change.before, enclosing=enclosing), 1):
        if row["rank"] is None and wanted.is_met(mutant):
            row |= {"rank": number, "kind": mutant.kind}
    return row | {"mutants": number}


class Wanted:
    """What a mutant has to mean to be a change; most are told apart by their lengths."""

    def __init__(self, change: SmallChange) -> None:
        self._after = "\n".join(change.after)
        before, after = (_code(lines) for lines in (change.before, change.after))
        self._signature = sorted(after)
        more = len(after) - len(before)
        self._length = len("\n".join(change.before).translate(_IGNORED)) + more

    def is_met(self, mutant: Mutant) -> bool:
        lines = mutant.lines
        text = "\n".join(lines)
        if len(text.translate(_IGNORED)) != self._length:
            return False
        return sorted(_code(lines)) == self._signature and meaning(text) == meaning(self._after)


def _code(lines: tuple[str, ...]) -> str:
    """What is alike in programs of the same meaning; comments are left out roughly."""
    return "".join(line.partition("#")[0] for line in lines).translate(_IGNORED)


def table(rows: list[dict[str, Any]]) -> str:
    """By size of the fix: how many are reached, in all and early, and the median rank."""
    lines = [
        "| fix | changes | reached | first 100 | first 500 | median rank | mutants |",
        "| --- " * 7 + "|",
    ]
    sizes = [*dict.fromkeys(sorted(row["size"] for row in rows)), "all"]
    for size in sizes:
        some = [row for row in rows if size in (row["size"], "all")]
        ranks = [row["rank"] for row in some if row["rank"]]
        early = [sum(rank <= most for rank in ranks) for most in (100, 500)]
        shares = " | ".join(f"{n} ({n / len(some):.0%})" for n in (len(ranks), *early))
        middle = f"{median(ranks):.0f}" if ranks else ""
        made = f"{median(row['mutants'] for row in some):.0f}"
        lines.append(f"| {size} | {len(some)} | {shares} | {middle} | {made} |")
    kinds = Counter(row["kind"] for row in rows if row["rank"])
    return "\n".join(lines) + "\n\n" + ", ".join(f"{k} {n}" for k, n in kinds.most_common())


if __name__ == "__main__":
    main()
