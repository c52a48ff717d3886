"""How far a search looks, and what measurements switch off in it."""

from __future__ import annotations

from attrs import frozen


@frozen
class SearchSettings:
    """How far to look. Times in seconds.

    `samples` commands are written at a time, `max_turns` is the longest chain. The search goes on
    for `grace` after the first repair, longer if there are few tests. `candidates` bounds the
    programs tested instead of the time: then everything happens in a fixed order. So many `testers`
    are at it at once, None for one on each core; half of them while the model is at work.

    The switches are for measuring what each piece earns: `mutations` are tested, `rescoring` has
    the model score mutants and repairs, the `best_first` state is expanded, equal programs are
    tested once (`deduplicate`), the model is given lines to change and `branch_points` in them, and
    suspect lines come first (`suspiciousness`).
    """

    samples: int = 16
    max_turns: int = 10
    grace: float = 0.75
    candidates: int | None = None
    testers: int | None = None
    mutations: bool = True
    rescoring: bool = True
    best_first: bool = True
    deduplicate: bool = True
    branch_points: bool = True
    suspiciousness: bool = True
