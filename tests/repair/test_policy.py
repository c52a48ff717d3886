"""The policy on the small model's real weights: what one repair leaves to the next."""

import pytest

from coe_lsp.chain.commands import AddBlock, parse
from coe_lsp.chain.episode import Episode, episode_segments
from coe_lsp.chain.prompt import PromptBuilder, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.engine.engine import Engine
from coe_lsp.repair.policy.llama import LlamaPolicy
from coe_lsp.repair.policy.loading import ModelOptions, load_model
from coe_lsp.repair.policy.protocol import CommandRequest

pytestmark = pytest.mark.model


class Silent:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


@pytest.fixture(scope="module")
def model(small_model):
    model = load_model(ModelOptions(str(small_model), "none", samples=4), Silent())
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
            assert policy.ask(CommandRequest(number, start, seed=number))
        found = {}
        while len(found) < count:
            found |= {proposal.id: proposal.text for proposal in policy.step()}
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
        assert not loaded.policy.ask(CommandRequest(1, start, target_line=2))
    assert len(commands(model, start)) == 3


@pytest.mark.parametrize("format", ["chatml", "plain"])
def test_a_block_is_written_to_its_end(small_model, monkeypatch, format):
    """And what is read of the chain after it is what an episode's context has."""
    block = r'"### ADDB 2\n>>>    a = 1" "\n>>>    b = 2"'
    rules = f'root ::= {block} "\\n\\n"' if format == "plain" else f"root ::= {block}"
    monkeypatch.setattr("coe_lsp.repair.policy.llama.grammar", lambda *given, **named: rules)
    start = episode("zeta")
    builder = PromptBuilder(format, instructed=False)
    with Engine(small_model, context_tokens=2048, max_sequences=8) as engine:
        policy = LlamaPolicy(engine, builder)
        (proposal,) = policy.propose({1: start})
        assert parse(proposal.text) == AddBlock(2, ("    a = 1", "    b = 2"))
        after = start.extend(start.attempt(proposal.text), "1 of 1 tests fail", False)
        next(policy.propose({1: after}))
        segments = [segment for segment, _ in episode_segments(builder, after)]
        read = policy._slots[1].sequence.tokens[: policy._slots[1].asked]
        wanted = engine.tokenize(segments, add_bos=True)
        assert engine.detokenize(read) == engine.detokenize(wanted)
        policy.close()


@pytest.mark.parametrize("taken", ["newest", "first"])
def test_another_answer_to_the_same_state_leaves_no_trace(small_model, monkeypatch, taken):
    """The chain goes on from the command that was taken, in the context of that one alone."""
    read = []
    submit = Engine.submit

    def watched(engine, sequence, sampling):
        read.append(engine.detokenize(sequence.tokens))
        return submit(engine, sequence, sampling)

    monkeypatch.setattr(Engine, "submit", watched)
    start = episode("epsilon")
    start = start.extend(start.attempt("### DELL 3"), "1 of 1 tests fail", False)
    with Engine(small_model, context_tokens=4096, max_sequences=8) as engine:
        one, other = (LlamaPolicy(engine, PromptBuilder("chatml", instructed=True)) for _ in "12")
        texts = [next(one.propose({7: start}, redraw=n)).text for n in range(4)]
        assert len(set(texts)) > 1
        assert len(set(read)) == 1
        text = texts[0] if taken == "first" else texts[-1]
        after = start.extend(start.attempt(text), "1 of 1 tests fail", False)
        for policy in (one, other):
            next(policy.propose({7: after}))
            policy.close()
        assert read[-1] == read[-2]
        assert text in read[-1]
