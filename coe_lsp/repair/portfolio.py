"""Shares a repair's time among searches, each at one place, and stops at the first that repairs.

It does not know what a repair is (the searches do), nor where places come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.entry import Entry, Tried
from coe_lsp.repair.lazy_policy import LazyPolicy
from coe_lsp.repair.model_turns import ModelTurns
from coe_lsp.repair.request import Watcher
from coe_lsp.repair.search.search import Search
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.states import State
from coe_lsp.repair.site import Site

# A turn lasts so many seconds, more where a run of the tests takes long.
_TURN = 1.0
_RUNS_A_TURN = 4
# Seconds of searching with the first model, without success, until the second one joins.
_SECONDS_WITH_FIRST = 10.0
# Each place has so much before the model is loaded, if there are several,
_HEAD_START = 0.5
# but all together no more than this share of the time.
_SHARE_WITHOUT_MODEL = 0.3
# And how many seconds mutations go on if it cannot be loaded, before the user is told.
_SECONDS_WITHOUT_MODEL = 10.0
# How long a repair waits for places that explain more, as a share of the budget, and in seconds.
_SHARE_WAITING, _SECONDS_WAITING = 0.2, 8.0
# What a place gets of the time that is left, and in seconds at most, before another is changed as
# well if some of its tests are won.
_SHARE_ALONE, _SECONDS_ALONE = 0.4, 10.0


class Portfolio:
    """Searches that take turns.

    **Whose turn it is.** That of the place which has had least for its weight: so all get time in
    proportion to their weights, the heaviest first. One that wins tests and loses none weighs more
    from then on.

    **The model** is loaded when mutations have had their head start; from then on it has turns of
    its own (`ModelTurns`). A second, larger one joins where that was not enough for some seconds.

    **Growth.** A place that wins some tests, not all, may be half of a repair. Once, when it has
    had some time, `grow` is asked for places to search with that better version in place.

    **The end.** The first search that repairs goes on to the end of its grace. With a budget in
    candidates each search runs to its end, one after the other. But a caller is not bent to its own
    tests while what it calls still fails its own: a repair waits for a while as long as a place
    that explains more of the failing tests, all of the repair's among them, may be repaired itself;
    here those count as well that nobody named.
    """

    def __init__(
        self,
        settings: SearchSettings,
        deadline: Deadline,
        policy: LazyPolicy,
        second: LazyPolicy,
        watcher: Watcher,
        cancelled: Callable[[], bool],
        head_start: float,
        grow: Callable[[Site, State], Sequence[tuple[Site, float]]],
    ) -> None:
        """`grow` gets a place and a state of it; the new places come with weights, 1 in all."""
        self._settings = settings
        self._deadline = deadline
        self._policy = policy
        self._second = second
        self._models = ModelTurns(policy, second)
        self._watcher = watcher
        self._cancelled = cancelled
        self._head_start = head_start
        self._budget = deadline.left()
        self._counted = settings.candidates is not None
        self._grow = grow
        self._entries: list[Entry] = []
        self._current: Entry | None = None
        self._spent_before_model = 0.0
        self._end = float("inf")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, trace)

    def add(self, site: Site, weight: float) -> None:
        """Have a place searched."""
        self._entries.append(Entry(site, weight))

    @property
    def solved(self) -> bool:
        """Whether some place is repaired, and was not told yet."""
        return bool(self._solved())

    def run(self) -> Tried | None:
        """Search until a place is repaired; None if all are exhausted, or the time is up.

        There can be another call if what was found is no repair after all.
        """
        if self._current is not None and self._current.over:
            self._current = None
        while not self._is_over():
            solved = self._solved()
            better = self._explain_more(solved[0]) if solved else []
            if solved and not better:
                return self._won(_mends_most(solved))
            entry = self._next(better or self._entries)
            if entry is not None:
                self._take_turn(entry)
            elif solved:
                return self._won(_mends_most(solved))
            elif self._policy.waits:
                self._load()
            else:
                break
        # What was under way when the time was up may be a repair.
        begun = (e for e in self._entries if e.search is not None and e.found is None)
        for entry in [*self._solved(), *begun]:
            if self._tried(entry).found.patches:
                return self._won(entry)
        return None

    def _solved(self) -> list[Entry]:
        """The places that are repaired and were not told yet, those that explain most first."""
        begun = [e for e in self._entries if e.search is not None and e.found is None]
        solved = [e for e in begun if e.search is not None and e.search.solved]
        return sorted(solved, key=lambda e: -len(e.site.verifier.target_tests))

    def _explain_more(self, solved: Entry) -> list[Entry]:
        """The places that a repaired one waits for."""
        if solved.waits_until is None:
            patience = min(_SHARE_WAITING * self._budget, _SECONDS_WAITING)
            solved.waits_until = time.monotonic() + (float("inf") if self._counted else patience)
        if time.monotonic() >= solved.waits_until:
            return []
        mine, base = solved.site.explains, solved.site.base
        others = (e for e in self._entries if not e.over and e.site.base is base)
        return [e for e in others if mine < e.site.explains]

    def _won(self, entry: Entry) -> Tried:
        self._current = entry
        entry.over = True
        return self._tried(entry)

    def tried(self) -> list[Tried]:
        """What all places came to that had a turn, in the order of their adding; ends them all."""
        return [self._tried(entry) for entry in self._entries if entry.search is not None]

    def _tried(self, entry: Entry) -> Tried:
        assert entry.search is not None
        if entry.found is None:
            entry.found = entry.search.found()
        return Tried(entry.site, entry.spent, entry.found, entry.search.halfway())

    def _is_over(self) -> bool:
        return self._cancelled() or self._deadline.left() <= 0 or time.monotonic() >= self._end

    # -- turns

    def _next(self, entries: Sequence[Entry]) -> Entry | None:
        """Whose turn it is; None if there is nothing to try, or not without the model."""
        if self._counted:
            loaded = self._policy.loaded is not None
            return next((e for e in entries if not e.over and (loaded or not e.dry)), None)
        self._models.choose(entries)
        holder = self._models.holder
        waiting = [e for e in entries if not e.over and (not e.dry or e is holder)]
        if not waiting and self._waits_for_second:
            waiting = [e for e in entries if not e.over]
        return min(waiting, key=lambda e: (e.spent / e.share, -e.share), default=None)

    def _take_turn(self, entry: Entry) -> None:
        """Search at a place for a while."""
        search = self._search_of(entry)
        if self._counted and self._policy.loaded:
            self._models.give(entry)
        if self._second_is_due():
            self._second.load(self._deadline)
        began, loading, waited = time.monotonic(), self._policy.seconds, self._waits
        self._search(entry, search, self._end_of_turn(entry, began))
        head_start = self._head_start_left() - (time.monotonic() - began)
        if not self._solved() and self._policy.waits and head_start <= 0:
            self._load()  # mutants are tested meanwhile
        if search.solved:
            self._models.give(entry)
            search.run(self._policy.loaded)  # which judges, as the second does not
        seconds = time.monotonic() - began - (self._policy.seconds - loading)
        entry.spent += seconds
        if self._models.holder is not None:
            self._models.holder.with_model += seconds
        ideas = waited or (self._models.has_ideas(entry) and not self._counted)
        entry.over = (entry.dry and not ideas) or (self._counted and not waited)
        due = entry.over or time.monotonic() >= entry.grow_at
        if due and not entry.grown and not search.solved:
            self._grow_from(entry, search)

    def _search(self, entry: Entry, search: Search, until: float) -> None:
        """Search at a place, while the model works there, or at the one that has it."""
        loaded, holder = self._models.loaded_for(entry), self._models.holder
        search.narrow(beside_model=holder is not None)
        if holder is entry:
            search.run(loaded, until=until)
        else:
            search.run(until=until, meanwhile=self._models.ask)

    def _search_of(self, entry: Entry) -> Search:
        """The search of a place, begun if need be; the one that had the turn before rests."""
        last = self._current
        if last is not None and last is not entry and last.search is not None:
            last.search.pause()
        self._current = entry
        if entry.search is None:
            site = entry.site
            self._watcher.target(site.file, site.target, site.verifier.target_tests)
            search = site.search(
                self._settings, self._deadline, self._watcher.step, self._cancelled
            )
            entry.search = self._stack.enter_context(search)
            alone = min(_SHARE_ALONE * self._deadline.left(), _SECONDS_ALONE)
            entry.grow_at = time.monotonic() + alone
        return entry.search

    def _end_of_turn(self, entry: Entry, now: float) -> float:
        turn = max(_TURN, _RUNS_A_TURN * entry.site.baseline.overhead)
        ends = [self._end, float("inf") if self._counted else now + turn]
        if self._policy.waits:
            ends.append(now + self._head_start_left())
        elif self._waits_for_second:
            ends.append(now + max(0.0, self._until_second()))
        return min(ends)

    def _grow_from(self, entry: Entry, search: Search) -> None:
        half = search.halfway()
        if half is None:
            return
        entry.grown, entry.grow_at = True, float("inf")
        search.pause()
        for site, share in self._grow(entry.site, half):
            self.add(site, share * entry.share)

    # -- the model

    def _head_start_left(self) -> float:
        """Seconds of searching that are left until the model is to be loaded."""
        places = len(self._entries)
        each = max(self._head_start, _HEAD_START) if places > 1 else self._head_start
        start = min(places * each, _SHARE_WITHOUT_MODEL * self._budget)
        return start - self._spent

    @property
    def _waits(self) -> bool:
        """Whether a model is still to come."""
        return self._policy.waits or self._waits_for_second

    @property
    def _waits_for_second(self) -> bool:
        wanted = self._policy.loaded is not None and not self._solved() and not self._counted
        return wanted and self._second.waits

    def _second_is_due(self) -> bool:
        """Whether the larger model is to join now: the first has had its time, or has no ideas."""
        if not self._waits_for_second:
            return False
        left = [entry for entry in self._entries if not entry.over]
        return self._until_second() <= 0 or not any(map(self._models.has_ideas, left))

    def _until_second(self) -> float:
        """Seconds of searching with the first model that are left until then."""
        return _SECONDS_WITH_FIRST - (self._spent - self._spent_before_model)

    @property
    def _spent(self) -> float:
        return sum(entry.spent for entry in self._entries)

    def _load(self) -> None:
        self._policy.load(self._deadline)
        self._spent_before_model = self._spent
        if self._policy.problem is not None:
            self._end = time.monotonic() + _SECONDS_WITHOUT_MODEL


def _mends_most(solved: Sequence[Entry]) -> Entry:
    """The first of the repaired places, or one whose repair mends more tests that nobody named."""
    most = len(solved[0].site.verifier.target_tests)
    alike = [e for e in solved if len(e.site.verifier.target_tests) == most]
    return max(alike, key=_mended_beside) if len(alike) > 1 else solved[0]


def _mended_beside(entry: Entry) -> int:
    assert entry.search is not None
    return entry.site.mended_beside(entry.search.best.lines)
