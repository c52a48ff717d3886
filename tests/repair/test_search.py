"""The search and its parts: what is expanded, which mutant comes next, which repair is best."""

import contextlib
import threading
import time

import pytest
from attrs import evolve
from samples import HOPELESS

from coe_lsp.chain.commands import Exit, ReplaceLine
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy, Proposal
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.frontier import Frontier, Scorer
from coe_lsp.repair.search.mutant_source import MutantSource
from coe_lsp.repair.search.mutation_queue import MutationQueue
from coe_lsp.repair.search.ranking import PassingProgram, canonical_form, constants, rank, with_size
from coe_lsp.repair.search.rescoring import rerank
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.search.states import State, state_key
from coe_lsp.repair.search.stopping import StoppingRule
from coe_lsp.repair.target.hints import RepairHints
from coe_lsp.repair.verify import Verdict, Verifier
from coe_lsp.repair.way_in import way_of


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


def test_the_most_promising_state_is_expanded_but_not_for_ever():
    start = state(0, ["a"])
    frontier = Frontier(Scorer(start.verdict, {}), start, size=3)
    assert frontier.add(state(1, ["a", "b"]))
    assert frontier.add(state(2, ["a", "b", "c"]))
    assert not frontier.add(state(3, ["b"]))  # it lost what it won
    assert not frontier.add(state(4, ["a"]))
    chosen = [frontier.next().number for _ in range(60)]
    assert chosen[0] == 2
    assert set(chosen) == {0, 1, 2}
    assert chosen.count(2) > chosen.count(1) > chosen.count(0) > 0


def test_without_best_first_each_chain_is_followed_to_its_end():
    start = state(0, ["a"])
    frontier = Frontier(Scorer(start.verdict, {}, best_first=False), start, size=8)
    assert frontier.next() is start
    first, second = state(1, [], depth=1), state(2, [], depth=2)  # tests lost do not matter
    assert frontier.add(first)
    assert frontier.next() is first
    assert frontier.add(second)
    assert frontier.next() is second
    assert frontier.next() is start  # nothing came of the last one: a new chain


def test_the_frontier_keeps_the_rank():
    start = state(0, [])
    frontier = Frontier(Scorer(start.verdict, {}), start, size=3)
    frontier.add(state(1, ["a"]))
    frontier.add(state(2, ["a", "b"]))
    assert frontier.add(state(3, ["a", "b", "c"]))
    assert [kept.number for kept in frontier.states] == [0, 2, 3]
    assert not frontier.add(state(5, ["a"]))
    assert [kept.number for kept in frontier.states] == [0, 2, 3]


def test_a_state_that_wins_nothing_is_expanded_if_ties_are_kept():
    start = state(0, ["a"])
    frontier = Frontier(Scorer(start.verdict, {}), start, size=3)
    assert not frontier.add(state(1, ["a"]))
    frontier.keep_ties = True
    tie = state(1, ["a"])
    assert frontier.add(tie)
    assert not frontier.add(state(2, ["b"]))
    frontier.remove(tie)
    frontier.remove(start)  # which stays
    assert frontier.states == [start]


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


def source(empty=False):
    start = evolve(state(0, []), lines=tuple(LINES))
    return start, MutantSource(start, {2: 1.0, 3: 0.2}, RepairHints(), empty=empty)


def test_a_mutant_comes_with_the_commands_that_make_it():
    start, mutants = source()
    candidate = mutants.next()
    pad = Scratchpad(start.lines)
    for command in candidate.commands:
        pad = pad.apply(command)
    assert pad.lines == candidate.lines != start.lines
    assert (candidate.parent, candidate.origin, candidate.number) == (start, "mutation", None)


def test_mutants_of_a_state_are_made_from_it_elsewhere_than_before():
    start, mutants = source()
    better = ("def f(a, b):", "    c = a + b", "    return c > 1")
    child = State(7, better, verdict("a"), "mutation", None, start, touched=frozenset({2}))
    mutants.add(child, 0.9, {2: 1.0, 3: 1.0})
    candidates = [mutants.next() for _ in range(60)]
    second = [candidate for candidate in candidates if candidate.parent is child]
    assert second and second[0].lines[1] == better[1]  # line 2 counts less now


def test_scores_move_a_mutant_to_the_front_of_the_source():
    _, mutants = source()
    liked = mutants.of_start[-1]
    mutants.add_scores({id(liked): 50.0})
    assert mutants.next().lines == liked.lines


def test_a_source_may_have_no_mutants():
    _, mutants = source(empty=True)
    assert mutants.next() is None
    assert not mutants.of_start


# -- when to stop


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def rule(tests=10, candidates=None, deadline=None, cancelled=lambda: False):
    clock = Clock()
    deadline = deadline or Deadline()
    stop = StoppingRule(2.0, tests, deadline, cancelled, candidates=candidates, clock=clock)
    return stop, clock


def test_a_search_ends_when_the_grace_after_its_first_repair_is_over():
    stop, clock = rule()
    clock.now += 1000
    assert not stop.over(5000, model=True)
    assert stop.repair_found(5000)
    clock.now += 1.9
    assert not stop.repair_found(5001)  # not the first
    assert stop.repaired_at == 1100
    assert not stop.over(5001, model=True)
    clock.now += 0.2
    assert stop.over(5001, model=True)


@pytest.mark.parametrize(("model", "seconds"), [(True, 6.0), (False, 2.0)])
def test_with_few_tests_a_model_is_waited_for(model, seconds):
    stop, clock = rule(tests=4)
    stop.repair_found(1)
    clock.now += seconds - 0.1
    assert not stop.over(1, model=model)
    clock.now += 0.2
    assert stop.over(1, model=model)


def test_it_is_waited_for_until_it_has_scored_the_mutants_and_some_were_tested():
    stop, clock = rule(tests=4)
    stop.repair_found(1)
    clock.now += 3
    stop.model_scored()
    clock.now += 0.9
    stop.model_scored()  # the first time counts
    assert not stop.over(1, model=True)
    clock.now += 0.2
    assert stop.over(1, model=True)


def test_where_candidates_are_counted_no_time_counts():
    stop, clock = rule(candidates=100)
    assert stop.counted
    assert not stop.over(99, model=True) and stop.over(100, model=True)
    stop.repair_found(10)
    clock.now += 1000
    assert not stop.over(49, model=True) and stop.over(50, model=True)


def test_a_search_ends_at_its_deadline_and_when_it_is_cancelled():
    assert not rule(deadline=Deadline(time.monotonic() + 100))[0].over(0, model=False)
    assert rule(deadline=Deadline(time.monotonic() - 1))[0].over(0, model=False)
    assert rule(cancelled=lambda: True)[0].over(0, model=False)


# -- programs that pass


def program(*lines, **more):
    return PassingProgram(tuple(lines), (Exit(),), "mutation", more.pop("number", 1), **more)


def test_equivalent_programs_are_one():
    assert canonical_form(["if a > b: pass"]) == canonical_form(["if b < a: pass"])
    assert canonical_form(["x = not a == b"]) == canonical_form(["x = b != a"])
    assert canonical_form(["x = x + y"]) == canonical_form(["x += y"])
    assert canonical_form(["x = not a < b"]) != canonical_form(["x = a >= b"])
    found = rank([program("x = a > b", number=1), program("x = b < a", number=2, weight=-1.0)])
    assert [p.number for p in found] == [2]


def test_a_special_case_for_the_test_comes_last():
    before = ["def area(r):", "    return 3 * r"]
    tests = constants("assert area(10) == 314.0")
    right = with_size(program(before[0], "    return 3.14 * r * r", weight=-9.0), before, tests)
    cheat = with_size(
        program(before[0], "    return 314.0 if r == 10 else 3 * r", weight=0.0), before, tests
    )
    assert cheat.special == ("10", "314.0")
    assert rank([cheat, right]) == [right, cheat]
    assert "spells out 10, 314.0 of the tests" in cheat.reason


def test_smaller_and_likelier_programs_come_first():
    before = ["a = 1", "b = 2", "c = 3"]
    small = with_size(program("a = 1", "b = 3", "c = 3", number=1), before, ())
    large = with_size(program("a = 0", "b = 4", "c = 3", number=2), before, ())
    assert (small.changed_lines, large.changed_lines) == (1, 2)
    assert rank([large, small]) == [small, large]
    liked = with_size(program("a = 0", "b = 4", "c = 3", number=3, likelihood=-1.0), before, ())
    disliked = with_size(program("a = 1", "b = 3", "c = 3", number=4, likelihood=-30.0), before, ())
    assert rank([disliked, liked]) == [liked, disliked]


def test_each_likelihood_is_asked_once_and_against_the_line_as_it_is():
    class Opinionated(Sampler):
        def likelihoods(self, start, texts):
            asked.append(list(texts))
            return [float(len(text)) for text in texts]

    asked = []
    start = Episode(TaskDescription(), Scratchpad(("a = 1", "b = 2"), ""))
    one = evolve(program("a = 10", "b = 2", number=1), commands=(ReplaceLine(1, "a = 10"),))
    two = evolve(program("a = 1000", "b = 2", number=2), commands=(ReplaceLine(1, "a = 1000"),))
    found = rerank(Opinionated(), start, [one, two])
    texts = [f"### REPL 1 >>>a = {number}" for number in (10, 1, 1000)]
    assert asked == [texts]
    assert [(p.number, p.likelihood) for p in found] == [(2, 3.0), (1, 1.0)]
    many = evolve(two, commands=two.commands * 7)
    assert rerank(Opinionated(), start, [one, many]) == (one, many)
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
        self.requests, self.compared, self.scored = [], [], []

    def read(self, start):
        return True

    def ask(self, request):
        self.requests.append(request)
        self.asked.append(request.id)
        return True

    def step(self):
        id, self.count = self.asked.pop(0), self.count + 1
        return [Proposal(id, self.COMMANDS[self.count % len(self.COMMANDS)], -2.0)]

    def logprob_ratios(self, start, line, variants):
        self.compared.append(line)
        return [float(len(text) % 3) for text in variants]

    def likelihoods(self, start, texts):
        self.scored.append(texts)
        return [-float(len(text)) for text in texts]

    def forget(self, id):
        pass

    def interrupt(self):
        pass


class Log:
    def __init__(self):
        self.steps = []
        self.solved_at = None

    def baseline(self, baseline, suites): ...

    def scouted(self, scouted): ...

    def target(self, file, function, target_tests): ...

    def step(self, step):
        self.steps.append(step)
        if step.passed == step.total and self.solved_at is None:
            self.solved_at = time.monotonic()


def run(path, search, policy=None, function=None, budget=30):
    log = Log()
    loaded = LoadedPolicy(policy, ModelUsed("it", "", None), trained=True, judge=policy)
    load = (lambda: contextlib.nullcontext(loaded)) if policy else None
    outcome = Repair(
        Request(way_of(path, function), budget=budget, samples=3, search=search), load, log
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
    assert outcome.diff == outcome.patches[0].diff
    assert len({patch.diff for patch in outcome.patches}) == len(outcome.patches)
    assert all(step.total == 1 for step in steps)


class Thorough(Sampler):
    """Changes two places where one is wrong."""

    COMMANDS = (
        "### REPB 2 5\n>>>    value = int(value)\n>>>    if value < low:\n"
        ">>>        value = low\n>>>    return min(value, high)",
    )


def test_a_repair_is_told_without_the_changes_that_it_does_not_need(write, tmp_path):
    write("pyproject.toml", "")
    path = write("ranges.py", """
        def clamp(value, low, high):
            value = int(value) + 0
            if value < low:
                value = low
            return value
    """)  # fmt: skip
    write("test_ranges.py", """
        from ranges import clamp

        def test_clamp():
            assert clamp(5, 0, 3) == 3
            assert clamp(-5, 0, 3) == 0
    """)  # fmt: skip
    outcome, _ = run(path, SearchSettings(candidates=12, mutations=False), Thorough())
    assert outcome.status == "repaired", outcome.message
    text = outcome.repaired["ranges.py"].text
    assert "int(value) + 0" in text and "return min(value, high)" in text


class Deleting(Sampler):
    COMMANDS = ("### DELL 2",)


def test_where_only_a_doubtful_repair_was_found_the_message_says_so(write, tmp_path):
    write("pyproject.toml", "")
    path = write("one.py", "def same(value):\n    value = value + 1\n    return value\n")
    write("test_one.py", "from one import same\n\ndef test_one():\n    assert same(3) == 3\n")
    outcome, _ = run(path, SearchSettings(candidates=8, mutations=False), Deleting())
    assert outcome.status == "repaired"
    told = "`same` is repaired, but doubtful: the change takes a statement away. 1 test passed."
    assert outcome.message == told
    assert outcome.to_json()["patches"][0]["doubt"] == "takes a statement away"


class Slow(Sampler):
    """Never done with reading."""

    def read(self, start):
        time.sleep(0.05)
        return False


@pytest.mark.timing
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
    loaded = LoadedPolicy(policy, ModelUsed("it", "", None), trained=True, judge=policy)
    load = (lambda: contextlib.nullcontext(loaded)) if policy else None
    request = Request(way_of(path), budget=30, samples=3, search=SearchSettings(grace=1.0))
    assert Repair(request, load, log).run().status == "repaired"
    waited = time.monotonic() - log.solved_at
    assert graces - 0.2 < waited < graces + 1.5


def test_a_repair_that_is_found_while_the_model_is_loaded_ends_the_search(write):
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    write("test_pick.py", """
        import time
        from pick import pick

        def test_one():
            time.sleep(0.3)
            assert pick(1, 2) == 2
    """)  # fmt: skip

    @contextlib.contextmanager
    def load():
        time.sleep(6)  # mutations have long repaired it, and the grace is over
        policy = Sampler()
        yield LoadedPolicy(policy, ModelUsed("it", "", None), trained=True, judge=policy)

    request = Request(way_of(path), budget=20, samples=3, search=SearchSettings(grace=0.1))
    began = time.monotonic()
    assert Repair(request, load, Log()).run().status == "repaired"
    assert time.monotonic() - began < 15


def test_who_has_seen_a_repair_need_not_wait_for_better(write):
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    write("test_pick.py", "from pick import pick\n\ndef test_one():\n    assert pick(1, 2) == 2\n")

    class Impatient(Log):
        def step(self, step):
            super().step(step)
            if step.passed == step.total:
                settled.append(repair.settle())
            else:
                early.append(repair.settle())

    settled, early = [], []
    request = Request(way_of(path), budget=60, search=SearchSettings(grace=40.0))
    repair = Repair(request, None, Impatient())
    began = time.monotonic()
    assert repair.run().status == "repaired"
    assert time.monotonic() - began < 30
    assert True in settled and settled.count(True) == 1  # a second time it is too late
    assert True not in early[:1]


def test_several_test_at_once_and_each_program_once(write, monkeypatch):
    write("pyproject.toml", "")
    path = write("rows.py", """
        def rows(count, width, gap):
            if count < 0 or width < 1:
                return [gap, width]
            whole = count // width + gap
            return [whole - 1, count % width + 1]
    """)  # fmt: skip
    write("test_rows.py", """
        from rows import rows

        def test_none():
            assert rows(0, 3, 0) == [1, 7] and rows(0, 3, 0) == [1, 8]
    """)  # fmt: skip
    judged, threads = [], set()
    judge = Verifier.judge

    def watched(verifier, lines, **more):
        judged.append(tuple(lines))
        threads.add(threading.get_ident())
        return judge(verifier, lines, **more)

    monkeypatch.setattr(Verifier, "judge", watched)
    search = SearchSettings(testers=3)
    outcome = Repair(Request(way_of(path), budget=4, search=search), None, Log()).run()
    assert outcome.status == "failed"
    assert len(threads) == 3
    assert len(set(judged)) == len(judged) > 50


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


class Edits(Sampler):
    """Writes in turn the failing program in another layout, a repair, and something new."""

    def step(self):
        self.count += 1
        text = (
            "### REPL 2 >>>    if value" + " " * self.count + "< low:",
            "### REPL 5 >>>        return high",
            f"### REPL 5 >>>        return {self.count}00",
        )[self.count % 3]
        return [Proposal(self.asked.pop(0), text, -2.0)]


def searched(path, **switches):
    """What is seen of a counted search with these switches: the policy, the steps, the outcome."""
    policy = Edits()
    search = SearchSettings(candidates=40, **switches)
    outcome, steps = run(path, search, policy)
    assert outcome.status == "repaired", outcome.message
    return policy, steps, outcome


def test_mutations_can_be_switched_off(clamp_project):
    def mutants_tested(**switches):
        policy, steps, _ = searched(clamp_project / "ranges.py", **switches)
        return len(steps) > policy.count

    assert mutants_tested()
    assert not mutants_tested(mutations=False)


def test_rescoring_can_be_switched_off(write, tmp_path):
    write("pyproject.toml", "")
    path = write("pick.py", "def pick(a, b):\n    return a if a < b else b\n")
    write("test_pick.py", "from pick import pick\n\ndef test_pick():\n    assert pick(3, 2) == 3\n")
    policy, _, outcome = searched(path)
    assert policy.compared and policy.scored
    assert len(outcome.patches) > 1 and "log-likelihood" in outcome.patches[0].reason
    policy, _, outcome = searched(path, rescoring=False)
    assert not policy.compared and not policy.scored
    assert len(outcome.patches) > 1 and "log-likelihood" not in outcome.patches[0].reason


def test_branch_points_can_be_switched_off(clamp_project):
    def lines(**switches):
        policy, _, _ = searched(clamp_project / "ranges.py", mutations=False, **switches)
        return {request.target_line for request in policy.requests}

    assert lines() > {None}
    assert lines(branch_points=False) == {None}


def test_suspiciousness_can_be_switched_off(clamp_project):
    """Line 5 alone is run by no test but the failing one."""

    def first_line(**switches):
        policy, _, _ = searched(clamp_project / "ranges.py", mutations=False, **switches)
        return next(r.target_line for r in policy.requests if r.target_line is not None)

    assert first_line() == 5
    assert first_line(suspiciousness=False) == 1


def test_deduplication_can_be_switched_off(clamp_project):
    """Two of three programs are known: the one that fails in another layout, and the repair."""

    def known(**switches):
        path = clamp_project / "ranges.py"
        _, steps, outcome = searched(path, mutations=False, **switches)
        return len(steps) - outcome.attempts

    assert known() > 10
    assert known(deduplicate=False) == 0


def test_best_first_can_be_switched_off(clamp_project):
    """Without it a chain goes on from a program that lost a test."""

    class Losing(Sampler):
        def step(self):
            self.count += 1
            text = f"### REPL 3 >>>        return {self.count}00"
            return [Proposal(self.asked.pop(0), text, -2.0)]

    def depth(best_first):
        search = SearchSettings(
            candidates=8, best_first=best_first, mutations=False, branch_points=False
        )
        _, steps = run(clamp_project / "ranges.py", search, Losing())
        return max(step.turn for step in steps)

    assert depth(best_first=True) == 1
    assert depth(best_first=False) > 1


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

        def ask(self, request):
            self.living.add(request.id)
            self.most = max(self.most, len(self.living))
            return super().ask(request)

        def step(self):
            self.count += 1
            return [Proposal(self.asked.pop(0), f"### REPL 2 >>>    return {self.count}00", -2.0)]

        def forget(self, id):
            self.living.discard(id)

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
    assert outcome.message == "`total` and `price` are repaired: 2 tests passed."
    assert [line for line in outcome.diff.splitlines() if line[:2] in ("+ ", "- ")] == [
        "-    return count - 3",
        "+    return count * 3",
        "-    result = 1",
        "+    result = 0",
    ]
    assert (outcome.before.failed, outcome.after.failed) == (3, 0)
    assert [(link.passed, link.failed) for link in outcome.chain] == [(1, 1), (1, 0)]
