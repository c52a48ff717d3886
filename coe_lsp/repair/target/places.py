"""Where in a project the fault may be: functions of all its files, ranked, each with the reasons.

Goes by what failing tests ran, and passing ones beside them. It runs nothing and edits nothing. A
function's features are numbers between 0 and 1; what each is worth is set by hand.
`tests/benchmarks/learn_places.py` measures the order on real bugs, and can learn the weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import frozen

from coe_lsp.execution.coe_worker.messages import FilesRan, TestResult
from coe_lsp.repair.target.source import Function, SourceFile

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# What the least likely place gets, as a share of what the likeliest gets.
_LEAST_CHANCE = 0.05
#: Words of tests' names that say nothing of what is tested.
_EMPTY_WORDS = frozenset({"test", "tests", "self", "the", "a", "is", "init", "get", "set", "with"})


class Features(NamedTuple):
    """What speaks for a function, each between 0 and 1.

    `ochiai`: of its most suspect line (Abreu et al. 2006). `failing` and `passing`: the shares of
    tests that run it. `ended`: share of the failures whose innermost line in the project's sources
    is in it; `stack`: that have it in the traceback. `close`: 1 for what the test itself calls,
    less for what is called from there. `called`: whether the test's own text names it. `named`:
    whether a message does. `words`: share of its name's words that are in the names of tests that
    fail; `file`: of its file's words in those of the files of tests. `size`: 0 for one line, 1 for
    a hundred. `special`: whether its name has two underscores at both ends. `recent`: how lately a
    line of it was changed, 1 for a change that is not committed.
    """

    ochiai: float
    failing: float
    passing: float
    ended: float
    stack: float
    close: float
    called: float
    named: float
    words: float
    file: float
    size: float
    special: float
    recent: float


#: Of what is no function.
NO_FEATURES = Features(*[0.0] * len(Features._fields))
#: What each feature is worth: log odds for all of it.
WEIGHTS = Features(
    ochiai=2.0,
    failing=1.0,
    passing=-0.5,
    ended=1.5,
    stack=0.5,
    close=0.5,
    called=1.0,
    named=1.0,
    words=1.5,
    file=0.5,
    size=1.5,
    special=-0.7,
    recent=2.0,
)
#: Of each feature what is said to people, where it is strong.
_REASONS = {
    "recent": "changed lately",
    "named": "the message names it",
    "ended": "the failure ended in it",
    "called": "the test calls it",
    "words": "the test is named after it",
    "stack": "in the traceback",
    "ochiai": "the failing tests run it",
}


@frozen
class Place:
    """A function that may be at fault; the highest score comes first. `file` is as in diffs."""

    file: str
    function: Function
    features: Features
    score: float
    note: str = ""

    @property
    def reason(self) -> str:
        """Why it may be, in a few words."""
        if self.note:
            return self.note
        strong = [text for name, text in _REASONS.items() if getattr(self.features, name) >= 0.5]
        return ", ".join(strong[:2])


@frozen
class Seen:
    """What tests did: all that failed, what failing and passing ones ran, the texts of the failing.

    `texts` by test; `changed` has by file and line (1-based) how lately it was edited, up to 1.
    """

    failures: tuple[TestResult, ...]
    ran: Mapping[str, FilesRan]
    texts: Mapping[str, str]
    changed: Mapping[str, Mapping[int, float]]


def find_places(seen: Seen, sources: Mapping[str, SourceFile]) -> list[tuple[str, Function]]:
    """All functions of the project's sources that some failing test runs, or that are named."""
    failing = [seen.ran[f.id] for f in seen.failures if f.id in seen.ran]
    found: list[tuple[str, Function]] = []
    for file, source in sources.items():
        lines = frozenset[int]().union(*(ran.lines.get(file, frozenset()) for ran in failing))
        ends = {line for f in seen.failures for name, line in f.stack if name == file}
        for function in source.functions():
            inside = range(function.first + 1, function.last + 1)
            touched = not lines.isdisjoint(inside) or not ends.isdisjoint(
                range(function.first, function.last + 1)
            )
            if touched or _is_named(function, seen.failures):
                found.append((file, function))
    return found


def describe_place(
    file: str, function: Function, seen: Seen, sources: Mapping[str, SourceFile]
) -> Features:
    """The features of a function."""
    inside = range(function.first + 1, function.last + 1)
    whole = range(function.first, function.last + 1)
    failed = {failure.id for failure in seen.failures}
    runs = {t: r.lines.get(file, frozenset[int]()) for t, r in seen.ran.items()}
    failing = [lines for test, lines in runs.items() if test in failed]
    passing = [lines for test, lines in runs.items() if test not in failed]
    stacks = [
        [(name, line) for name, line in failure.stack if name in sources]
        for failure in seen.failures
    ]
    depths = [
        depth
        for test in failed & seen.ran.keys()
        for first, depth in seen.ran[test].depths.get(file, {}).items()
        if first in whole
    ]
    name = function.name.rpartition(".")[2]
    tests = " ".join(test.partition("::")[2] for test in failed)
    files = " ".join(test.partition("::")[0].rpartition("/")[2] for test in failed)
    texts = "\n".join(seen.texts.get(test, "") for test in failed)
    count = max(1, len(seen.failures))
    recent = seen.changed.get(file, {})
    return Features(
        ochiai=_ochiai(failing, passing, inside),
        failing=sum(not lines.isdisjoint(inside) for lines in failing) / max(1, len(failing)),
        passing=sum(not lines.isdisjoint(inside) for lines in passing) / max(1, len(passing)),
        ended=sum(_is_in(stack[-1:], file, whole) for stack in stacks) / count,
        stack=sum(_is_in(stack, file, whole) for stack in stacks) / count,
        close=1 / max(1, min(depths)) if depths else 0.0,
        called=float(re.search(rf"\b{re.escape(name)}\b", texts) is not None),
        named=float(_is_named(function, seen.failures)),
        words=_overlap(function.name, tests),
        file=_overlap(file.rpartition("/")[2].removesuffix(".py"), files),
        size=min(1.0, math.log(len(whole)) / math.log(100)),
        special=float(name.startswith("__") and name.endswith("__")),
        recent=max((recent.get(line, 0.0) for line in whole), default=0.0),
    )


def rank_places(
    seen: Seen, sources: Mapping[str, SourceFile], weights: Features = WEIGHTS
) -> list[Place]:
    """All places, most suspect first; of equal ones those that come first in their file."""
    places: list[Place] = []
    for file, function in find_places(seen, sources):
        features = describe_place(file, function, seen, sources)
        score = sum(w * x for w, x in zip(weights, features, strict=True))
        places.append(Place(file, function, features, score))
    return sorted(places, key=lambda place: -place.score)


def chances(places: Sequence[Place]) -> list[float]:
    """How likely each of some places is the one at fault, by their scores; together 1."""
    best = max((place.score for place in places), default=0.0)
    weights = [max(_LEAST_CHANCE, math.exp(place.score - best)) for place in places]
    return [weight / sum(weights) for weight in weights]


def _ochiai(
    failing: Sequence[frozenset[int]], passing: Sequence[frozenset[int]], lines: range
) -> float:
    best = 0.0
    for line in lines:
        bad = sum(line in ran for ran in failing)
        if bad:
            good = sum(line in ran for ran in passing)
            best = max(best, bad / math.sqrt(len(failing) * (bad + good)))
    return best


def _is_in(frames: Sequence[tuple[str, int]], file: str, lines: range) -> bool:
    return any(name == file and line in lines for name, line in frames)


def _is_named(function: Function, failures: Sequence[TestResult]) -> bool:
    """Whether a message says the function's own name, called or in quotes."""
    name = function.name.rpartition(".")[2]
    pattern = rf"\b{re.escape(name)}\(\)|['\"`]{re.escape(name)}['\"`]"
    return any(re.search(pattern, failure.detail) for failure in failures)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text)) - _EMPTY_WORDS


def _overlap(name: str, text: str) -> float:
    words = _words(name)
    return len(words & _words(text)) / len(words) if words else 0.0
