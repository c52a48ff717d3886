"""Tables of measurements on real bugs, each from one or more result files of `bench_repair.py`.

A refusal or a crash repairs nothing, and so does a repair that says that all tests pass: some of the
visible ones fail with each of these bugs. Repaired in 10 s means that the first patch had passed
then, in a run that went on. What was best by then is not known any more: right is only what is
offered first in the end, if it passes the whole suite.
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter

from arms import title_of
from result_files import RESULTS, read_results
from tables import decimal, table

from training.bugs.bugs import SIZES
from training.evaluation.comparison import compare, format_p, format_percent, wilson

_SOON = 10.0
_NAMED = {"file": "the file", "function": "the function", "test": "the failing tests"}
NOT_MEASURED = "*Not measured yet.*\n"


def bug_files():
    """The result files of measurements on real bugs."""
    paths = sorted(RESULTS.glob("bugs-*.jsonl"))
    return [path for path in paths if not path.name.endswith(".patches.jsonl")]


def bug_results():
    """The measurements on real bugs that are kept."""
    return list(map(read_results, bug_files()))


def is_repaired(row, seconds=float("inf")):
    """Whether there is a repair, the first one in time."""
    return row["status"] == "repaired" and (row["first"] or 0.0) <= seconds


def is_right(row):
    """Whether the repair that is offered first in the end is right, too."""
    return is_repaired(row) and bool(row["right"])


def by_arm(files):
    """What was named and for how long it went on, the arm, and its rows."""
    before = ""
    for results in files:
        named = f"{_NAMED[results.about['given']]}, {results.about['budget']:g} s"
        if any(name.endswith("#test") for name in results.about["tasks"]):
            named += ", test split"
        for arm in dict.fromkeys(row["arm"] for row in results.rows):
            yield "" if named == before else named, arm, results.of("arm", arm)
            before = named


def bug_table(files):
    """A row for each arm: repaired, right, how fast."""
    if not files:
        return NOT_MEASURED
    rows = []
    for named, arm, some in by_arm(files):
        fixed = [row for row in some if is_repaired(row)]
        rows.append(
            [
                named,
                title_of(arm),
                len(some),
                _share(sum(is_repaired(row, _SOON) for row in some), len(some)),
                _share(len(fixed), len(some)),
                _share(sum(is_right(row) for row in some), len(some)),
                sum(bool(row["right_any"]) for row in fixed),
                sum(bool(row["human"]) for row in fixed),
                _median(fixed, "first"),
                _median(fixed, "seconds"),
            ]
        )
    head = ["named", "arm", "bugs", "repaired in 10 s", "repaired", "right"]
    return table([*head, "one offered is right", "as people did", "first", "answer"], rows)


def bug_others(files):
    """A row for each arm: what became of the bugs that it does not repair, and where it looked."""
    if not files:
        return NOT_MEASURED
    rows = []
    for named, arm, some in by_arm(files):
        count = Counter(row["status"] for row in some)
        placed = [row["at_fault"] for row in some if row["at_fault"] is not None]
        rows.append(
            [
                named,
                title_of(arm),
                count["failed"],
                count["already_passing"],
                count["refused"],
                count["crashed"],
                f"{sum(placed)} of {len(placed)}",
                _median(some, "baseline"),
                _median(some, "tests", 0),
                _median(some, "tested", 0),
            ]
        )
    head = ["named", "arm", "not found", "said to pass", "refused", "crashed"]
    return table([*head, "function at fault", "first tests s", "tests", "programs tried"], rows)


def bugs_by_size(files):
    """Of each size of the human fix, how many each arm repairs, and how many of these are right."""
    if not files:
        return NOT_MEASURED
    rows = []
    for named, arm, some in by_arm(files):
        line = [named, title_of(arm)]
        for size in SIZES:
            of_size = [row for row in some if row["size"] == size]
            fixed = sum(map(is_repaired, of_size))
            line.append(f"{fixed} and {sum(map(is_right, of_size))} of {len(of_size)}")
        rows.append(line)
    return table(["named", "arm", *SIZES], rows)


def bugs_by_edit(files):
    """Of each kind of edit, how many programs of it were tested, and what they won.

    Of the results that say so: older ones do not.
    """
    rows = [row for results in files for row in results.rows if row.get("tried")]
    if not rows:
        return NOT_MEASURED
    tried = sum((Counter(row["tried"]) for row in rows), Counter())
    fixed = Counter(row["edit"] for row in rows if is_repaired(row))
    right = Counter(row["edit"] for row in rows if is_right(row))
    order = sorted(tried | fixed, key=lambda edit: (-right[edit], -fixed[edit], tried[edit], edit))
    lines = [[edit, tried[edit], fixed[edit] or "", right[edit] or ""] for edit in order]
    return table(["edit", "programs tested", "repairs offered first", "right"], lines)


def bug_pairs(files):
    """Arms, and what is named, against each other, by whether what is offered first is right.

    Each on the bugs that both were tried on.
    """
    if not files:
        return NOT_MEASURED
    rows = []
    for first, second in itertools.combinations(_named_arms(files), 2):
        if first[0] != second[0] and first[1] != second[1]:
            continue
        pair = compare(*({row["task"]: is_right(row) for row in x[2]} for x in (first, second)))
        if not pair.tasks:
            continue
        names = [f"{title_of(arm)}, {named}" for named, arm, _ in (first, second)]
        rows.append([*names, pair.tasks, pair.more, pair.fewer, format_p(pair.p_value)])
    head = ["first", "second", "bugs", "only the first right", "only the second", "p"]
    return table(head, rows)


def _named_arms(files):
    """As `by_arm`, with what was named in each of them."""
    before = ""
    for named, arm, rows in by_arm(files):
        before = named or before
        yield before, arm, rows


def _share(count, total):
    return f"{count}: {format_percent(wilson(count, total))}"


def _median(rows, key, digits=1):
    values = [row[key] for row in rows if row[key] is not None]
    return decimal(statistics.median(values) if values else None, digits)
