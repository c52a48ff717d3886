"""The larger model: what it writes, when it joins, and where it does not."""

import contextlib
import itertools
import time

import pytest
from red_tests import Told
from samples import CLAMP

from coe_lsp.chain.commands import CommandError, parse
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.engine.engine import Engine
from coe_lsp.errors import CoeError
from coe_lsp.repair import portfolio
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy import second
from coe_lsp.repair.policy.loading import NO_MODEL, ModelOptions, check
from coe_lsp.repair.policy.protocol import CommandRequest, ContextError, LoadedPolicy, Proposal
from coe_lsp.repair.policy.rewriter import Rewriter
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.search.settings import SearchSettings
from coe_lsp.repair.way_in import way_of

START = Episode(TaskDescription(), Scratchpad.from_text(CLAMP.strip(), "1 of 2 tests fail"))
GIGABYTE = 2**30


class Script:
    """Answers each request with the next of some commands, the last of them for ever."""

    def __init__(self, *commands, refuses=False):
        self.commands = itertools.chain(commands, itertools.repeat(commands[-1]))
        self.refuses = refuses
        self.asked = []
        self.answered = 0
        self.was_read = False

    def read(self, start):
        self.was_read = True
        if self.refuses:
            raise ContextError("too long")
        return True

    def ask(self, request):
        self.asked.append(request.id)
        return True

    def step(self):
        time.sleep(0.01)
        asked, self.asked = self.asked, []
        self.answered += len(asked)
        return [Proposal(id, next(self.commands), -1.0) for id in asked]

    def forget(self, id): ...

    def interrupt(self): ...


def loaded(script, name):
    policy = LoadedPolicy(script, ModelUsed(name, "", None), trained=True)
    return lambda: contextlib.nullcontext(policy)


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(portfolio, "_SECONDS_WITH_FIRST", 0.3)


def repair(path, first, larger, budget=20.0):
    search = SearchSettings(mutations=False, grace=0.1)
    request = Request(way_of(path), budget=budget, samples=2, search=search)
    load = loaded(first, "small")
    return Repair(request, load, Told(), load_second=loaded(larger, "large")).run()


FIX = "### REPB 4 5\n>>>    if value > high:\n>>>        return high"


@pytest.mark.usefixtures("soon")
def test_it_joins_where_the_first_was_not_enough(clamp_project):
    first, larger = Script("### REPL 1 >>>def clamp("), Script(FIX)
    outcome = repair(clamp_project / "ranges.py", first, larger)
    assert outcome.status == "repaired", outcome.message
    assert outcome.model.name == "large"
    assert first.answered
    assert larger.answered


def test_it_does_not_join_where_the_first_is_enough(clamp_project):
    larger = Script(FIX)
    outcome = repair(clamp_project / "ranges.py", Script(FIX), larger)
    assert outcome.status == "repaired", outcome.message
    assert outcome.model.name == "small"
    assert not larger.answered


@pytest.mark.usefixtures("soon")
def test_the_first_goes_on_where_it_cannot(clamp_project):
    """What is too long to be written anew can still be edited."""
    first, larger = Script(FIX), Script("", refuses=True)
    wrong = (f"### REPL 5 >>>        return {n}" for n in itertools.count(1000))
    until_it_came = itertools.takewhile(lambda _: not larger.was_read, wrong)
    first.commands = itertools.chain(until_it_came, itertools.repeat(FIX))
    outcome = repair(clamp_project / "ranges.py", first, larger)
    assert outcome.status == "repaired", outcome.message
    assert larger.was_read


def test_it_joins_at_once_where_the_first_cannot_be_asked(clamp_project):
    """Nothing is left to try without it, though the first has not had its ten seconds."""
    larger = Script(FIX)
    outcome = repair(clamp_project / "ranges.py", Script("", refuses=True), larger, budget=9.0)
    assert outcome.status == "repaired", outcome.message
    assert larger.answered


@pytest.mark.usefixtures("soon")
def test_one_that_cannot_be_loaded_is_told(clamp_project):
    def load():
        raise CoeError("It is damaged.")

    search = SearchSettings(mutations=False)
    request = Request(way_of(clamp_project / "ranges.py"), budget=2.0, search=search)
    first = loaded(Script("### REPL 1 >>>def clamp("), "small")
    outcome = Repair(request, first, Told(), load_second=load).run()
    assert outcome.status == "failed"
    assert outcome.message.endswith("It is damaged.")


def test_which_it_is(monkeypatch, tmp_path):
    file = tmp_path / "large.gguf"
    file.write_bytes(b"GGUF")
    here = {"qwen2.5-coder-1.5b": file}
    monkeypatch.setattr(second, "cached", lambda ref: here.get(ref.name))
    monkeypatch.setattr(second, "is_bearable", lambda size: True)
    assert second.second_model(ModelOptions()).name == "qwen2.5-coder-1.5b"
    assert second.tell_second(ModelOptions()) == "qwen2.5-coder-1.5b joins after ten seconds"
    assert second.second_model(ModelOptions("qwen2.5-coder-1.5b")) is None  # it is the first
    assert second.second_model(ModelOptions(NO_MODEL)) is None
    assert second.second_model(ModelOptions(second=NO_MODEL)) is None
    monkeypatch.setattr(second, "is_bearable", lambda size: False)
    assert second.second_model(ModelOptions()) is None
    assert "only if it is named" in second.tell_second(ModelOptions())
    assert second.second_model(ModelOptions(second=str(file))).path == file
    alias = ModelOptions(second="qwen2.5-coder-1.5b-instruct")
    assert second.second_model(alias).name == "qwen2.5-coder-1.5b"
    assert second.tell_second(alias) == "qwen2.5-coder-1.5b joins after ten seconds"
    here.clear()
    assert second.second_model(ModelOptions()) is None
    assert "models pull qwen2.5-coder-1.5b" in second.tell_second(ModelOptions())
    assert second.tell_second(ModelOptions(NO_MODEL)) == "no larger model joins"


def test_one_that_is_named_but_not_here_is_told_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path))
    with pytest.raises(CoeError, match=r"models pull qwen2\.5-coder-1\.5b"):
        check(ModelOptions(second="qwen2.5-coder-1.5b"))


@pytest.mark.parametrize(
    ("cores", "offloads", "memory", "bearable"),
    [(2, False, 64, False), (8, False, 16, True), (2, True, 16, True), (8, True, 4, False)],
)
def test_what_a_machine_must_have(monkeypatch, cores, offloads, memory, bearable):
    monkeypatch.setattr(second, "available_cores", lambda: cores)
    monkeypatch.setattr(second, "_offloads", lambda: offloads)
    monkeypatch.setattr(second, "_memory", lambda: memory * GIGABYTE)
    assert second.is_bearable(GIGABYTE) == bearable


@pytest.mark.model
def test_answers_of_real_weights_are_edits(small_model):
    with Engine(small_model, context_tokens=4096, max_sequences=8) as engine:
        room = engine.free_tokens
        policy = Rewriter(engine, "chatml", answers=4)
        while not policy.read(START):
            pass
        asked = [policy.ask(CommandRequest(n, START, seed=n)) for n in range(5)]
        assert asked == [True] * 4 + [False]  # no more than so many at a time
        found = []
        while len(found) < 4:
            found += policy.step()
        assert {proposal.id for proposal in found} == set(range(4))
        edits = 0
        for proposal in found:
            with contextlib.suppress(CommandError):
                START.pad.apply(parse(proposal.text))
                edits += 1
        assert edits
        long = Scratchpad.from_text("def f(x):\n" + "    x = x + 1\n" * 400)
        with pytest.raises(ContextError, match="too long"):
            policy.read(Episode(TaskDescription(), long))
        policy.close()
        assert engine.free_tokens == room
