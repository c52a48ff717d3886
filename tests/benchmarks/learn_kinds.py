"""Learns how likely each kind of edit is from what people changed, and writes the table.

    python tests/benchmarks/learn_kinds.py train.jsonl --dev dev.jsonl

Both are files of `mutation_reach.py`: small changes of single functions. Each edit is made with a
guess of its weight. Edits of one kind with one guess are one class; a change is the work of one
edit, drawn from all mutants of the function in proportion to the exponentials of their weights (a
conditional logit). Weights are those under which the train changes are likeliest, held near the
guesses where little was seen. Changes that no mutant makes say nothing.
Then it shows what is lost, and what is sooner, without each kind of edit.
"""

from __future__ import annotations

import argparse
import itertools
import math
import pickle
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
from attrs import frozen
from mutation_reach import Wanted, read_change

from coe_lsp.mutations.mutants import mutants
from coe_lsp.mutations.surroundings import surroundings
from coe_lsp.mutations.weights import TABLE, Weights

Class = tuple[str, float]
_STEPS, _RATE, _FOLDS = 400, 0.05, 5
# One standard deviation of a kind's offset, and of a class within its kind.
_KIND_SPREADS, _CLASS_SPREADS = (0.2, 0.4, 0.6, 1.0), (0.05, 0.2, 0.4, 0.7)


@frozen
class Seen:
    """How many mutants of each class a function has, in the order of the guesses, and which is
    the change."""

    counts: dict[Class, int]
    wanted: Class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seen", type=Path, help="keeps what is slow to make")
    options = parser.parse_args()
    train, dev = _load(options)
    kind_spread, class_spread = _choose_spreads(train)
    learned = learn(train, kind_spread, class_spread)
    TABLE.write_text(learned.dumps())
    print(f"{len(train)} changes to learn from; spreads {kind_spread} and {class_spread}")
    guessed = Weights({}, {})
    print("| weights | changes | median rank | first 100 | first 500 | mean log likelihood |")
    print("| --- " * 6 + "|")
    for name, pairs in (
        ("guessed, train", [(seen, guessed) for seen in train]),
        ("learned from the others, train", _across(train, kind_spread, class_spread)),
        ("guessed, dev", [(seen, guessed) for seen in dev]),
        ("learned, dev", [(seen, learned) for seen in dev]),
    ):
        ranks = list(starmap(expected_rank, pairs))
        early = [sum(rank <= most for rank in ranks) / len(ranks) for most in (100, 500)]
        likely = mean(starmap(log_likelihood, pairs))
        print(
            f"| {name} | {len(ranks)} | {median(ranks):.0f} | {early[0]:.0%} | {early[1]:.0%} | "
            f"{likely:.2f} |"
        )
    print()
    known = [(seen, learned) for seen in dev]
    _show_ablation([*_across(train, kind_spread, class_spread), *known])


def _show_ablation(pairs: Sequence[tuple[Seen, Weights]]) -> None:
    """What is lost and what is sooner without each kind of edit; those that make no change in one."""
    reached = Counter(seen.wanted[0] for seen, _ in pairs)
    made: Counter[str] = Counter()
    for seen, _ in pairs:
        for (kind, _guess), count in seen.counts.items():
            made[kind] += count
    others = [kind for kind in made if not reached[kind]]
    rows = [([], "nothing"), *(([kind], kind) for kind, _ in reached.most_common())]
    rows.append((others, f"{len(others)} others"))
    print("| without | changes lost | share of the mutants | among the first 100 | first 500 |")
    print("| --- " * 5 + "|")
    for kinds, name in rows:
        left = [(_without(s, kinds), weights) for s, weights in pairs if s.wanted[0] not in kinds]
        ranks = list(starmap(expected_rank, left))
        early = [sum(rank <= most for rank in ranks) for most in (100, 500)]
        share = sum(made[kind] for kind in kinds) / made.total()
        print(f"| {name} | {len(pairs) - len(left)} | {share:.1%} | {early[0]} | {early[1]} |")


def _without(seen: Seen, kinds: Sequence[str]) -> Seen:
    left = {name: count for name, count in seen.counts.items() if name[0] not in kinds}
    return Seen(left, seen.wanted)


def _choose_spreads(train: Sequence[Seen]) -> tuple[float, float]:
    """The smallest that are as good as the best, but for one standard error (Breiman et al.)."""
    likely = {
        spreads: list(starmap(log_likelihood, _across(train, *spreads)))
        for spreads in itertools.product(_KIND_SPREADS, _CLASS_SPREADS)
    }
    best = max(likely.values(), key=mean)
    enough = mean(best) - stdev(best) / math.sqrt(len(best))
    return next(spreads for spreads, found in likely.items() if mean(found) >= enough)


def _load(options: argparse.Namespace) -> tuple[list[Seen], list[Seen]]:
    if options.seen and options.seen.exists():
        return pickle.loads(options.seen.read_bytes())
    with ProcessPoolExecutor(options.processes) as pool:
        both = tuple(
            [seen for seen in pool.map(_see, path.read_text().splitlines(), chunksize=4) if seen]
            for path in (options.train, options.dev)
        )
    if options.seen:
        options.seen.write_bytes(pickle.dumps(both))
    return both


def _across(train: Sequence[Seen], *spreads: float) -> list[tuple[Seen, Weights]]:
    """Each change with weights that were learned from others."""
    found = []
    for fold in range(_FOLDS):
        others = [seen for number, seen in enumerate(train) if number % _FOLDS != fold]
        weights = learn(others, *spreads)
        found += [(seen, weights) for seen in train[fold::_FOLDS]]
    return found


def _see(line: str) -> Seen | None:
    change = read_change(line)
    enclosing = surroundings(change.module, change.owner)
    found = list(mutants(change.before, enclosing=enclosing))
    wanted = Wanted(change)
    one = next((mutant for mutant in found if wanted.is_met(mutant)), None)
    if one is None:
        return None
    return Seen(
        dict(Counter((m.kind, round(m.guess, 2)) for m in found)), (one.kind, round(one.guess, 2))
    )


def learn(train: Sequence[Seen], kind_spread: float, class_spread: float) -> Weights:
    """The weights under which the changes are likeliest, by Adam."""
    classes = sorted({name for seen in train for name in seen.counts})
    kinds = sorted({kind for kind, _ in classes})
    index = {name: n for n, name in enumerate(classes)}
    kind_of = np.array([kinds.index(kind) for kind, _ in classes])
    guesses = np.array([guess for _, guess in classes])
    counts = np.zeros((len(train), len(classes)))
    wanted = np.array([index[seen.wanted] for seen in train])
    for row, seen in enumerate(train):
        for name, count in seen.counts.items():
            counts[row, index[name]] = count
    offsets, deltas = np.zeros(len(kinds)), np.zeros(len(classes))
    moments = [[np.zeros_like(x), np.zeros_like(x)] for x in (offsets, deltas)]
    for step in range(1, _STEPS + 1):
        weights = guesses + offsets[kind_of] + deltas
        scores = counts * np.exp(weights - weights.max())
        shares = scores / scores.sum(axis=1, keepdims=True)
        slope = shares.sum(axis=0) - np.bincount(wanted, minlength=len(classes))
        slopes = (
            np.bincount(kind_of, slope, len(kinds)) + offsets / kind_spread**2,
            slope + deltas / class_spread**2,
        )
        for values, gradient, (first, second) in zip(
            (offsets, deltas), slopes, moments, strict=True
        ):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            scale = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            values -= _RATE * first / (1 - 0.9**step) / scale
    by_kind = {kind: round(float(value), 2) for kind, value in zip(kinds, offsets, strict=True)}
    by_class: dict[str, dict[float, float]] = {}
    for (kind, guess), delta in zip(classes, deltas, strict=True):
        if abs(delta) >= 0.05:
            by_class.setdefault(kind, {})[guess] = round(float(delta), 2)
    return Weights(by_kind, by_class)


def expected_rank(seen: Seen, weights: Weights) -> float:
    """Where the change comes, in the middle of those that weigh the same."""
    mine = weights.of(*seen.wanted)
    before = sum(n for name, n in seen.counts.items() if weights.of(*name) > mine)
    same = sum(n for name, n in seen.counts.items() if weights.of(*name) == mine)
    return before + (same + 1) / 2


def log_likelihood(seen: Seen, weights: Weights) -> float:
    """Of the change, natural."""
    whole = sum(n * math.exp(weights.of(*name)) for name, n in seen.counts.items())
    return weights.of(*seen.wanted) - math.log(whole)


if __name__ == "__main__":
    main()
