"""The list of real bugs that is committed: what the documents say of it, and what it must not hold."""

import re
from collections import Counter
from pathlib import Path

from training.bugs.bugs import load_bugs, projects

ROOT = Path(__file__).parents[3]
BUGS = load_bugs(ROOT / "training/bugs/real_bugs.jsonl")
FAULTS = [bug for bug in BUGS if bug.kind == "fault"]
# Where the final judgement's bugs come from.
KEPT = {
    "thefuck", "pysnooper", "tqdm", "cookiecutter", "httpie", "black", "sanic", "tornado", "youtube-dl",
    "luigi", "scrapy", "fastapi", "pandas", "keras", "matplotlib", "ansible", "spacy",
}  # fmt: skip


def of(split):
    return [bug for bug in FAULTS if bug.split == split]


def test_the_documents_count_it_right():
    told = (ROOT / "docs/training.md").read_text()
    numbers = list(
        map(int, re.findall(r"\d+", re.findall(r"The list has .*?files\.", told, re.S)[0]))
    )
    sizes = Counter(bug.size for bug in FAULTS)
    assert numbers == [
        len(FAULTS),
        len(BUGS) - len(FAULTS),
        len(projects(FAULTS)),
        *(n for s in ("train", "dev", "test") for n in (len(of(s)), len(projects(of(s))))),
        *(sizes[size] for size in ("one line", "one hunk", "one function", "several")),
    ]


def test_no_project_is_in_two_splits_or_kept_for_judging():
    splits = [projects(bug for bug in BUGS if bug.split == s) for s in ("train", "dev", "test")]
    assert sum(map(len, splits)) == len(set().union(*splits))
    assert set().union(*splits).isdisjoint(KEPT)
