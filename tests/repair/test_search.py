"""The search and its parts: what is gone on from, which mutant comes next, which repair is best."""

import contextlib
import time

import pytest
from attrs import evolve
from samples import HOPELESS

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy, Proposal
from coe_lsp.repair.repair import Repair, Request
from coe_lsp.repair.search.frontier import Frontier, Scorer, State, state_key
from coe_lsp.repair.search.mutation_queue import MutationQueue
from coe_lsp.repair.search.ranking import Patch, best, constants, meaning, measured
from coe_lsp.repair.search.rescoring import ranked
from coe_lsp.repair.search.search import SearchSettings
from coe_lsp.repair.verify import Verdict


def verdict(*passing, total=4):
    return Verdict((), frozenset(passing), total, ())


def state(number, passing, **more):
    lines = (f"x = {number}",)
    episode = Episode(TaskDescription(), Scratchpad(lines))
    return State(number, lines, verdict(*passing), "model", episode, **more)


# -- states


def test_states_differ_by_syntax_not_by_layout():
    assert state_key(["x = [1,2]  # two"]) == state_key(["x = [1, 2]"])
    assert state_key(["x = 1"]) != state_key(["x = 2"])
    assert state_key(["x = ("]) == state_key(["x = (  "]) != state_key(["x = (("])


def test_the_most_promising_state_is_gone_on_from_but_not_for_ever():
    start = state(0, ["a"])
    frontier = Frontier(Scorer(start.verdict, {}), start, room=3)
    assert frontier.add(state(1, ["a", "b"]))
    assert frontier.add(state(2, ["a", "b", "c"]))
    assert not frontier.add(state(3, ["b"]))  # it lost what it won
    assert not frontier.add(state(4, ["a"]))
    chosen = [frontier.next().number for _ in range(60)]
    assert chosen[0] == 2
    assert set(chosen) == {0, 1, 2}
    assert chosen.count(2) > chosen.count(1) > chosen.count(0) > 0


def test_without_best_first_each_chain_is_gone_on_with_to_its_end():
    start = state(0, ["a"])
    frontier = Frontier(Scorer(start.verdict, {}, best_first=False), start, room=8)
    assert frontier.next() is start
    first, second = state(1, [], depth=1), state(2, [], depth=2)  # tests lost do not matter
    assert frontier.add(first)
    assert frontier.next() is first
    assert frontier.add(second)
    assert frontier.next() is second
    assert frontier.next() is start  # nothing came of the last one: a new chain


def test_the_frontier_keeps_the_best():
    start = state(0, [])
    frontier = Frontier(Scorer(start.verdict, {}), start, room=3)
    frontier.add(state(1, ["a"]))
    frontier.add(state(2, ["a", "b"]))
    assert frontier.add(state(3, ["a", "b", "c"]))
    assert [gone.number for gone in frontier.dropped()] == [1]
    assert not frontier.add(state(5, ["a"]))
    assert frontier.dropped() == []


def test_touching_suspect_lines_and_likelihood_count():
    scorer = Scorer(verdict("a"), {3: 1.0})
    plain = state(1, ["a", "b"], touched=frozenset({1}))
    assert scorer.score(state(2, ["a", "b"], touched=frozenset({3}))) > scorer.score(plain)
    assert scorer.score(plain) > scorer.score(
        state(3, ["a", "b"], touched=frozenset({1}), logprob=-9.0)
    )


# -- the queue of mutants

LINES = ["def f(a, b):", "    c = a - b", "    return c > 1"]


def drain(queue, count):
    return [found for _ in range(count) if (found := queue.pop())]


def test_mutants_of_a_state_that_won_tests_are_woven_in():
    queue = MutationQueue(LINES, {2: 1.0, 3: 0.2})
    better = ["def f(a, b):", "    c = a + b", "    return c > 1"]
    queue.add(7, better, 0.5, {2: 1.0})
    first = drain(queue, 40)
    assert {parent for _, parent in first} == {0, 7}
    assert all("    c = a + b" in m.lines or m.line == 2 for m, parent in first if parent == 7)


def test_pairs_of_changes_follow_single_ones():
    queue = MutationQueue(LINES, {})
    singles = drain(queue, len(queue.first))
    assert len(singles) == len(queue.first)
    pairs = drain(queue, 30)
    assert len(pairs) == 30
    changed = [sum(a != b for a, b in zip(m.lines, LINES, strict=False)) for m, _ in pairs]
    assert 2 in changed


def test_a_model_s_opinion_moves_mutants_up():
    queue = MutationQueue(LINES, {})
    liked = queue.first[len(queue.first) // 2]
    queue.reweigh(lambda mutant: 50.0 if mutant is liked else 0.0)
    assert queue.pop()[0] is liked


def test_nothing_to_mutate():
    queue = MutationQueue([], {})
    assert queue.pop() is None


# -- patches


def patch(*lines, **more):
    return Patch(tuple(lines), ("### EXIT",), "mutation", more.pop("number", 1), **more)


def test_equivalent_patches_are_one():
    assert meaning(["if a > b: pass"]) == meaning(["if b < a: pass"])
    assert meaning(["x = not a == b"]) == meaning(["x = b != a"])
    assert meaning(["x = x + y"]) == meaning(["x += y"])
    assert meaning(["x = not a < b"]) != meaning(["x = a >= b"])
    found = best([patch("x = a > b", number=1), patch("x = b < a", number=2, weight=-1.0)])
    assert [p.number for p in found] == [2]


def test_a_special_case_for_the_test_comes_last():
    before = ["def area(r):", "    return 3 * r"]
    tests = constants("assert area(10) == 314.0")
    right = measured(patch(before[0], "    return 3.14 * r * r", weight=-9.0), before, tests)
    cheat = measured(
        patch(before[0], "    return 314.0 if r == 10 else 3 * r", weight=0.0), before, tests
    )
    assert cheat.special == ("10", "314.0")
    assert best([cheat, right]) == [right, cheat]
    assert "spells out 10, 314.0 of the tests" in cheat.reason


def test_smaller_and_likelier_patches_come_first():
    before = ["a = 1", "b = 2", "c = 3"]
    small = measured(patch("a = 1", "b = 3", "c = 3", number=1), before, ())
    large = measured(patch("a = 0", "b = 4", "c = 3", number=2), before, ())
    assert (small.changed_lines, large.changed_lines) == (1, 2)
    assert best([large, small]) == [small, large]
    liked = measured(patch("a = 0", "b = 4", "c = 3", number=3, likelihood=-1.0), before, ())
    disliked = measured(patch("a = 1", "b = 3", "c = 3", number=4, likelihood=-30.0), before, ())
    assert best([disliked, liked]) == [liked, disliked]


def test_each_likelihood_is_asked_once_and_against_the_line_as_it_is():
    class Opinionated(Sampler):
        def likelihoods(self, start, texts):
            asked.append(list(texts))
            return [float(len(text)) for text in texts]

    asked = []
    start = Episode(TaskDescription(), Scratchpad(("a = 1", "b = 2"), ""))
    one = evolve(patch("a = 10", "b = 2", number=1), commands=("### REPL 1 >>>a = 10",))
    two = evolve(patch("a = 1000", "b = 2", number=2), commands=("### REPL 1 >>>a = 1000",))
    found = ranked(Opinionated(), start, [one, two])
    assert asked == [[*one.commands, "### REPL 1 >>>a = 1", *two.commands]]
    assert [(p.number, p.likelihood) for p in found] == [(2, 3.0), (1, 1.0)]
    many = evolve(two, commands=two.commands * 7)
    assert ranked(Opinionated(), start, [one, many]) == (one, many)
    assert len(asked) == 1


# -- the search itself, on real tests


class Sampler:
    """A policy that writes a fixed list of commands over and over."""

    COMMANDS = (
        "### REPL 2 >>>    if value < low: return low",
        "### ADDL 3 >>>    return value",
        "### REPL 2 >>>    return value",
        "nonsense",
    )

    def __init__(self):
        self.asked, self.count = [], 0

    def read(self, start):
        return True

    def ask(self, ask):
        self.asked.append(ask.number)
        return True

    def step(self):
        number, self.count = self.asked.pop(0), self.count + 1
        return [Proposal(number, self.COMMANDS[self.count % len(self.COMMANDS)], -2.0)]

    def prefer(self, start, line, variants):
        return [float(len(text) % 3) for text in variants]

    def likelihoods(self, start, texts):
        return [-float(len(text)) for text in texts]

    def forget(self, number):
        pass

    def interrupt(self):
        pass


class Log:
    def __init__(self):
        self.steps = []
        self.solved_at = None

    def baseline(self, baseline, suites): ...

    def target(self, function, target_tests): ...

    def step(self, step):
        self.steps.append(step)
        if step.passed == step.total and self.solved_at is None:
            self.solved_at = time.monotonic()


def run(path, search, policy=None, function=None, budget=30):
    log = Log()
    loaded = LoadedPolicy(policy, ModelUsed("it", "", None), trained=True)
    load = (lambda: contextlib.nullcontext(loaded)) if policy else None
    outcome = Repair(
        Request(path, function, budget=budget, samples=3, search=search), load, log
    ).run()
    return outcome, log.steps


@pytest.mark.slow
def test_counted_in_candidates_a_search_is_repeatable(clamp_project, write):
    path = write("ranges.py", HOPELESS)
    search = SearchSettings(candidates=60)
    (one, steps), (two, again) = (run(path, search, Sampler()) for _ in range(2))
    assert steps == again
    assert one.attempts == two.attempts >= 60
    assert {"model", "mutation"} == {"mutation" if s.error is None and "REPL 2 >>>    return N" in
                                     s.command else "model" for s in steps}  # fmt: skip


def test_mutations_alone_repair_and_offer_a_choice(write, tmp_path):
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    write("test_pick.py", """
        from pick import pick

        def test_pick():
            assert pick(3, 2) == 3
    """)  # fmt: skip
    outcome, steps = run(path, SearchSettings(grace=0.5))
    assert outcome.status == "repaired" and outcome.model is None
    assert 2 <= len(outcome.patches) <= 3
    assert outcome.diff == outcome.patches[0].diff
    assert outcome.new_source == outcome.patches[0].new_source
    assert len({patch.new_source for patch in outcome.patches}) == len(outcome.patches)
    assert all(step.total == 1 for step in steps)


class Slow(Sampler):
    """Never done with reading."""

    def read(self, start):
        time.sleep(0.05)
        return False


@pytest.mark.parametrize(
    ("tests", "policy", "graces"),
    [(1, None, 1), (1, Sampler(), 1), (1, Slow(), 3), (5, Slow(), 1)],
)
def test_with_few_tests_it_goes_on_until_the_model_was_heard(write, tests, policy, graces):
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    cases = "".join(
        f"def test_{n}():\n    assert pick({n}, {n + 1}) == {n + 1}\n" for n in range(tests)
    )
    write("test_pick.py", "from pick import pick\n" + cases)
    log = Log()
    loaded = LoadedPolicy(policy, ModelUsed("it", "", None), trained=True)
    load = (lambda: contextlib.nullcontext(loaded)) if policy else None
    request = Request(path, budget=30, samples=3, search=SearchSettings(grace=1.0))
    assert Repair(request, load, log).run().status == "repaired"
    waited = time.monotonic() - log.solved_at
    assert graces - 0.2 < waited < graces + 1.5


def test_two_mistakes_one_after_the_other(write, tmp_path):
    write("pyproject.toml", "")
    path = write("pair.py", """
        def clip(value, low, high):
            if value > low:
                return low
            if value > high:
                return low
            return value
    """)  # fmt: skip
    write("test_pair.py", """
        from pair import clip

        def test_low():
            assert clip(-4, 0, 10) == 0

        def test_high():
            assert clip(15, 0, 10) == 10

        def test_inside():
            assert clip(5, 0, 10) == 5
    """)  # fmt: skip
    outcome, _ = run(path, SearchSettings(grace=0.1))
    assert outcome.status == "repaired"
    assert [(link.passed, link.failed) for link in outcome.chain][-1] == (3, 0)
    assert len(outcome.chain) == 2


@pytest.mark.parametrize(
    "search",
    [
        SearchSettings(mutations=False, grace=0.1),
        SearchSettings(opinions=False, grace=0.1),
        SearchSettings(best_first=False, deduplicate=False, suspiciousness=False, places=False),
    ],
)
def test_pieces_can_be_switched_off(clamp_project, search):
    class Right(Sampler):
        COMMANDS = ("### REPL 5 >>>        return high", "### REPL 5 >>>        return low")

    outcome, steps = run(clamp_project / "ranges.py", search, Right())
    assert outcome.status == "repaired", outcome.message
    if not search.mutations:
        assert {step.command for step in steps} <= set(Right.COMMANDS)


def test_a_repair_that_is_proved_when_the_time_is_up_counts(write, tmp_path):
    """All tests of the file run before a repair is shown, and some are slow."""
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    write("test_pick.py", """
        import time
        from pick import pick

        def test_pick():
            assert pick(3, 2) == 3

        def test_slow():
            time.sleep(3)
    """)  # fmt: skip
    outcome, _ = run(path, SearchSettings(grace=0.1), budget=2)
    assert outcome.status == "repaired", outcome.message


def test_the_model_does_not_run_away_from_slow_tests(write, tmp_path):
    """What waits for the tests keeps a place in the engine, of which there are few."""

    class Hasty(Sampler):
        def __init__(self):
            super().__init__()
            self.living, self.most = set(), 0

        def ask(self, ask):
            self.living.add(ask.number)
            self.most = max(self.most, len(self.living))
            return super().ask(ask)

        def step(self):
            self.count += 1
            return [Proposal(self.asked.pop(0), f"### REPL 2 >>>    return {self.count}00", -2.0)]

        def forget(self, number):
            self.living.discard(number)

    write("pyproject.toml", "")
    path = write("one.py", "def one():\n    pass\n")
    write("test_one.py", """
        import time
        from one import one

        def test_one():
            time.sleep(0.2)
            assert one() == "abc"
    """)  # fmt: skip
    policy = Hasty()
    outcome, steps = run(path, SearchSettings(mutations=False), policy, budget=4)
    assert outcome.status == "failed" and len(steps) > 3
    assert policy.most < 40
    assert not policy.living


@pytest.mark.timing
def test_a_search_that_has_tried_everything_ends(write, tmp_path):
    write("pyproject.toml", "")
    path = write("one.py", "def one():\n    pass\n")
    write("test_one.py", "from one import one\n\ndef test_one():\n    assert one() == 'abc'\n")
    outcome, steps = run(path, SearchSettings())
    assert outcome.status == "failed"
    assert outcome.seconds.total < 25
    assert outcome.message == "No repair was found, and nothing is left to try."
    assert 0 < outcome.attempts <= len(steps)


def test_two_functions_that_must_both_change(write, tmp_path):
    write("pyproject.toml", "")
    source = """
        def price(count):
            return count - 3


        def total(counts):
            result = 1
            for count in counts:
                result += price(count)
            return result
        """
    path = write("shop.py", source)
    write(
        "test_shop.py",
        """
        from shop import price, total

        def test_price():
            assert price(5) == 15

        def test_nothing():
            assert total([]) == 0

        def test_total():
            assert total([5]) == 15
            assert total([5, 7]) == 36
        """,
    )
    outcome, _ = run(path, SearchSettings(), function="total", budget=12)
    assert outcome.status == "repaired"
    assert outcome.message == "total and price are repaired: 2 tests passed."
    assert [line for line in outcome.diff.splitlines() if line[:2] in ("+ ", "- ")] == [
        "-    return count - 3",
        "+    return count * 3",
        "-    result = 1",
        "+    result = 0",
    ]
    assert (outcome.before.failed, outcome.after.failed) == (3, 0)
    assert [(link.passed, link.failed) for link in outcome.chain] == [(1, 1), (1, 0)]
