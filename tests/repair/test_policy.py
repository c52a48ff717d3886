"""The policy on the small model's real weights: what one repair leaves to the next."""

import pytest

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.models.engine import Engine
from coe_lsp.models.sampling import Sampling
from coe_lsp.repair.asking import Ask
from coe_lsp.repair.loading import LoadedModel, ModelOptions
from coe_lsp.repair.policy import LlamaPolicy

pytestmark = pytest.mark.model


class Silent:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


@pytest.fixture(scope="module")
def model(small_model):
    model = LoadedModel(ModelOptions(str(small_model), "none", samples=4), Silent())
    yield model
    model.close()


def episode(name, lines=3):
    body = [f"    total += {n} * {name}" for n in range(lines)]
    program = (f"def {name}({name}):", "    total = 0", *body, "    return total")
    return Episode(TaskDescription(), Scratchpad(program, f"assert {name}(1) == 2 fails"))


def commands(model, start, count=3):
    with model.policy() as loaded:
        policy = loaded.policy
        while not policy.read(start):
            pass
        for number in range(1, count + 1):
            assert policy.ask(Ask(number, start))
        found = {}
        while len(found) < count:
            found |= {proposal.number: proposal.text for proposal in policy.step()}
        return found


def test_a_repair_that_ended_while_it_was_reading_leaves_the_next_one_alone(model):
    one, two = episode("alpha", 40), episode("beta")
    right = commands(model, one)
    before = commands(model, two)
    with model.policy() as loaded:
        assert not loaded.policy.read(one)  # a first piece of it
    assert commands(model, two) == before
    with model.policy() as loaded:
        assert not loaded.policy.read(one)
    assert commands(model, one) == right


def test_commands_follow_the_grammar(model):
    assert all(text.startswith("### ") for text in commands(model, episode("gamma")).values())


def test_chains_that_would_fill_the_context_together_are_left_out(small_model):
    """All have states to be read in the same round: each must leave room for the others'."""
    long = episode("delta", 12)
    for n in range(4):
        attempt = long.attempt(f"### REPL 3 >>>    total += {n}")
        long = long.extend(attempt, "1 of 1 tests fail", False)
    with Engine(small_model, context_tokens=2048, max_sequences=8) as engine:
        policy = LlamaPolicy(engine, PromptBuilder("chatml", instructed=False))
        written = list(policy.propose(dict.fromkeys(range(4), long)))
        assert 1 <= len(written) < 4
        policy.close()


def test_a_wish_that_is_interrupted_is_refused(model):
    start = episode("epsilon")
    with model.policy() as loaded:
        while not loaded.policy.read(start):
            pass
        loaded.policy.interrupt()
        assert not loaded.policy.ask(Ask(1, start, focus=2))
    assert len(commands(model, start)) == 3


def test_another_answer_to_the_same_state_takes_the_first_ones_place(small_model):
    """The chain goes on as if it had said nothing else."""
    greedy = Sampling(temperature=0.0, top_k=0, top_p=1.0, max_tokens=48)
    start = episode("epsilon")
    start = start.extend(start.attempt("### DELL 3"), "1 of 1 tests fail", False)

    def policy(engine):
        return LlamaPolicy(engine, PromptBuilder("chatml", instructed=True), sampling=greedy)

    def ask(policy, at, redraw=0):
        (proposal,) = policy.propose({7: at}, redraw=redraw)
        return proposal.text

    def goes_on(text):
        return start.extend(start.attempt(text), "1 of 1 tests fail", False)

    with Engine(small_model, context_tokens=4096, max_sequences=8) as engine:
        one, other = policy(engine), policy(engine)
        first = ask(one, start)
        texts = [ask(one, start, redraw) for redraw in (1, 2, 3)]
        assert len({first, *texts}) > 1
        assert ask(one, goes_on(texts[-1])) == ask(other, goes_on(texts[-1]))
        one.close()
        other.close()
