"""Prints real bugs for reading by eye: what people did, and what each arm offers, as diffs.

    python tests/benchmarks/show_repairs.py RESULTS.jsonl [PART OF A BUG'S ID ...] [--arms A,B]

Reads what `bench_repair.py` wrote: the rows, and the patches beside them. Without a part of an id,
all bugs that an arm repaired. Measures nothing, needs no checkout.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from result_files import read_results

from training.files import read_whole_lines


def read_patches(results):
    """What beside a result file is known of each bug and arm, by both."""
    lines = read_whole_lines(results.with_suffix(".patches.jsonl"))
    return {(task, arm): shown for task, arm, shown in map(json.loads, lines)}


def show(results, parts, arms):
    """The text for all bugs whose id has one of the parts; of all that are repaired, if none."""
    rows = [row for row in read_results(results).rows if not arms or row["arm"] in arms]
    patches = read_patches(results)
    repaired = {row["task"] for row in rows if row["status"] == "repaired"}
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        if not (any(part in task for part in parts) if parts else task in repaired):
            continue
        some = [row for row in rows if row["task"] == task]
        human = patches[task, some[0]["arm"]]["human"]
        lines += [f"{'=' * 20} {task} ({some[0]['size']})", "", human]
        for row in some:
            lines.append(f"{'-' * 10} {describe(row)}")
            for number, patch in enumerate(patches[task, row["arm"]]["patches"], 1):
                lines += [f"{number}. {verdict(patch)}; {patch['reason']}", patch["diff"]]
    return "\n".join(lines)


def describe(row):
    """What became of a repair."""
    where = {True: "where people changed it", False: "elsewhere", None: ""}[row["at_fault"]]
    said = [row["status"], f"{row['seconds']} s", f"{row['tested']} tried", row["function"], where]
    return f"{row['arm']}: {', '.join(filter(None, said))} {row['message']}".rstrip()


def verdict(patch):
    """What the judge says of a patch."""
    return "as people did" if patch["human"] else "right" if patch["right"] else "wrong"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("bugs", nargs="*")
    parser.add_argument("--arms", default="")
    options = parser.parse_args()
    print(show(options.results, options.bugs, set(filter(None, options.arms.split(",")))))


if __name__ == "__main__":
    main()
