"""The policy on the small model's real weights: what one repair leaves to the next."""

import pytest

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.repair.asking import Ask
from coe_lsp.repair.loading import LoadedModel, ModelOptions

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
    before = commands(model, two)
    with model.policy() as loaded:
        assert not loaded.policy.read(one)  # a first piece of it
    assert commands(model, two) == before
    with model.policy() as loaded:
        assert not loaded.policy.read(one)
    assert commands(model, one) == commands(model, one)


def test_commands_follow_the_grammar(model):
    assert all(text.startswith("### ") for text in commands(model, episode("gamma")).values())
