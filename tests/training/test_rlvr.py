"""Advantages of tokens, packed rows and the loss by hand, and a tiny model that gets better."""

import copy
import json
import math

import pytest
import torch
from attrs import evolve
from training_toys import CONFIG, as_sampled, ended, said, score, started, two_turns

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import Segment, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from training.model.checkpoint import read_adapter
from training.model.encode import NO_LABEL, collate, encode
from training.model.packing import TokenizedRollout, make_packed_batches, pack
from training.process_group import ProcessGroup
from training.rewards import compute_advantages, compute_returns
from training.rlvr import (
    add_reference,
    policy_loss,
    reward_group,
    tokenize_rollouts,
    train_rlvr,
    update,
)
from training.sampling.groups import SampledGroups
from training.sampling.hf_generator import TransformersGenerator
from training.sampling.rollouts import AttemptTester, Rollout, roll_out
from training.session import Session
from training.settings import RlvrConfig
from training.sft import train_sft


def test_each_command_gets_the_advantage_of_its_turn(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)

    def sampled(episode):
        texts = [turn.command_text for turn in episode.turns]
        return Rollout(
            episode,
            tuple(said(t, tiny_tokenizer.encode(Segment(t))) for t in texts),
        )

    group = [sampled(two_turns()), sampled(ended("m", "e"))]
    scores = [[0.0, 1.0], [-0.5, 0.0]]
    made = tokenize_rollouts(group, scores, tiny_tokenizer, builder, RlvrConfig())
    by_turn = compute_advantages(list(map(compute_returns, scores)))
    for rollout, wanted in zip(made, by_turn, strict=True):
        seen = []
        for weight, label in zip(rollout.advantages, rollout.example.labels, strict=True):
            assert label != NO_LABEL or weight == 0.0
            if label != NO_LABEL and (not seen or seen[-1] != weight):
                seen.append(weight)
        assert seen == pytest.approx(wanted)
    assert (
        tokenize_rollouts(group, [[0.0, 0.0], [0.0, 0.0]], tiny_tokenizer, builder, RlvrConfig())
        == []
    )


def test_the_tokens_learned_are_those_that_were_sampled(tiny_tokenizer):
    """Not another spelling of the same text, and no end where the model was cut off."""
    builder = tiny_tokenizer.builder(instructed=False)
    letters = [t for letter in "### DELL 2" for t in tiny_tokenizer.encode(Segment(letter))]
    assert letters != tiny_tokenizer.encode(Segment("### DELL 2"))
    (end,) = tiny_tokenizer.encode(builder.command_end)
    episode = ended("m", "m", "s")
    sampled = [
        said("nonsense", letters, False),
        said("", (), False),
        said("x", letters[:1]),
    ]
    example = encode(episode, tiny_tokenizer, builder, sampled=sampled)
    learned = [label for label in example.labels if label != NO_LABEL]
    assert learned == [*letters, letters[0], end]
    assert example.ids.count(end) >= 3  # the context has them all
    scores = [[-0.25, -0.5, 1.0], [0.0, 0.0, 0.0]]
    other = Rollout(ended(".", ".", "e"), (said("x", (5,)),) * 3)
    made = tokenize_rollouts(
        [Rollout(episode, tuple(sampled)), other],
        scores,
        tiny_tokenizer,
        builder,
        RlvrConfig(max_tokens=999),
    )
    by_turn = compute_advantages(list(map(compute_returns, scores)))[0]
    weights = [weight for weight in made[0].advantages if weight]
    assert weights == pytest.approx([by_turn[0]] * len(letters) + [by_turn[2]] * 2)


def test_a_row_of_chains_gives_what_the_chains_give(tiny_model, tiny_tokenizer):
    """Log-probabilities and gradients; their opening is there once, unless rows get too long."""
    builder = tiny_tokenizer.builder(instructed=False)

    def rollouts(*episodes):
        examples = [as_sampled(encode(e, tiny_tokenizer, builder)) for e in episodes]
        return [
            TokenizedRollout(e, tuple((n - 0.5) * (x != NO_LABEL) for x in e.labels))
            for n, e in enumerate(examples)
        ]

    start = two_turns().start
    fresh = Episode(TaskDescription(), start)
    other = fresh.extend(fresh.attempt("### REPL 1 >>>b"), "2 of 2 tests fail", False)
    other = other.extend(other.attempt("### DELL 1"), "", True)
    groups = [
        rollouts(two_turns(), other, fresh.extend(fresh.attempt("### DELL 1"), "", True)),
        rollouts(ended("m"), ended(".", "s")),
    ]
    chains = [rollout for group in groups for rollout in group]

    def learn(rows, tokens):
        """Log-probabilities by advantage, and the gradient."""
        found, parts = {}, list(make_packed_batches(rows, tokens))
        for part in parts:
            logprobs, _, _ = tiny_model(part.ids, part.mask, part.labels, part.positions)
            (logprobs * part.advantages).sum().backward()
            for logprob, weight in zip(logprobs.tolist(), part.advantages.tolist(), strict=True):
                found.setdefault(weight, []).append(logprob)
        gradient = torch.cat([p.grad.flatten() for p in tiny_model.trainable().values()])
        tiny_model.zero_grad()
        return {weight: sorted(some) for weight, some in found.items()}, gradient, len(parts)

    rows = [row for group in groups for row in pack(group, 4096)]
    assert len(rows) == 2
    opening = next(n for n, weight in enumerate(chains[0].advantages) if weight) - 1
    assert rows[0].segment_ids.count(0) == opening > 20
    apart = sum(len(rollout.example.ids) for rollout in groups[0])
    assert len(rows[0].ids) == apart - 2 * opening
    together, gradient, parts = learn(rows, 4096)
    assert parts == 1  # of different lengths, so one is padded

    plain = {}
    for rollout in chains:
        logprobs, _, _ = score(tiny_model, collate([rollout.example]))
        weight = next(w for w in rollout.advantages if w)
        (logprobs * weight).sum().backward()
        plain.setdefault(weight, []).extend(logprobs.tolist())
    wanted = torch.cat([p.grad.flatten() for p in tiny_model.trainable().values()])
    tiny_model.zero_grad()
    assert together.keys() == plain.keys() and len(plain) == 3
    for weight, some in plain.items():
        assert together[weight] == pytest.approx(sorted(some), abs=1e-4)
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-3)

    longest = max(len(rollout.example.ids) for rollout in chains)
    rows = [row for group in groups for row in pack(group, longest)]
    assert len(rows) > 2 and max(len(row.ids) for row in rows) <= longest
    split, gradient, parts = learn(rows, longest)
    assert parts > 1
    assert split.keys() == plain.keys()
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-3)


def test_policy_loss_by_hand():
    new = torch.tensor([-1.0, -1.0, -2.0], requires_grad=True)
    old = torch.tensor([-1.0, -1.5, -1.0])
    reference = torch.tensor([-1.0, -1.0, -2.5])
    weights = torch.tensor([2.0, 1.0, -1.0])
    loss, kl = policy_loss(new, old, reference, weights, epsilon=0.2, beta=0.01)
    # Ratios 1, e^0.5 (clipped to 1.2) and e^-1 (clipped to 0.8, and the worse of the two counts).
    assert kl.tolist() == pytest.approx([0.0, 0.0, math.exp(-0.5) + 0.5 - 1])
    assert loss.tolist() == pytest.approx([-2.0, -1.2, 0.8 + 0.01 * (math.exp(-0.5) - 0.5)])
    loss.sum().backward()
    assert new.grad[0] == pytest.approx(-2.0) and new.grad[1] == 0.0


def test_further_updates_are_held_to_the_policy_that_sampled(tiny_model, tiny_tokenizer):
    """With a clip of 0 a likelier good token gains nothing more; with more room it does."""
    builder = tiny_tokenizer.builder(instructed=False)
    example = as_sampled(encode(two_turns(), tiny_tokenizer, builder), tiny_model)
    place = next(n for n, label in enumerate(example.labels) if label != NO_LABEL)
    weights = tuple(float(n == place) for n in range(len(example.ids)))
    add_reference(tiny_model)
    names = tiny_model.trainable()
    before = {name: weight.detach().clone() for name, weight in names.items()}

    def after(num_iterations, epsilon):
        with torch.no_grad():
            for name, weight in before.items():
                names[name].copy_(weight)
        config = RlvrConfig(num_iterations=num_iterations, epsilon=epsilon, beta=0.0)
        entry = update(
            tiny_model,
            [[TokenizedRollout(example, weights)]],
            torch.optim.SGD(names.values(), 0.01),
            config,
            ProcessGroup("cpu"),
        )
        assert entry["learned_tokens"] == example.learned
        return torch.cat([weight.detach().flatten() for weight in names.values()])

    start = torch.cat([weight.flatten() for weight in before.values()])
    once = after(1, 0.2)
    assert (once - start).abs().max() > 1e-4
    torch.testing.assert_close(after(2, 0.0), once, atol=0, rtol=0)
    again = (after(2, 10.0) - once).abs().max()
    assert again > 0.5 * (once - start).abs().max()


def test_what_the_sampler_found_less_likely_weighs_more_up_to_a_bound(tiny_model, tiny_tokenizer):
    """And how far the sampler is from the learner is in the log."""
    builder = tiny_tokenizer.builder(instructed=False)
    example = encode(two_turns(), tiny_tokenizer, builder)
    advantages = tuple(float(label != NO_LABEL) for label in example.labels)
    add_reference(tiny_model)
    names = tiny_model.trainable()
    before = {name: weight.detach().clone() for name, weight in names.items()}

    def step(off):
        sampled = as_sampled(example, tiny_model, off)
        optimizer = torch.optim.SGD(names.values(), 0.01)
        config = RlvrConfig(beta=0.0, max_norm=1e9)
        entry = update(
            tiny_model,
            [[TokenizedRollout(sampled, advantages)]],
            optimizer,
            config,
            ProcessGroup("cpu"),
        )
        moved = torch.cat([(names[n].detach() - old).flatten() for n, old in before.items()])
        with torch.no_grad():
            for name, weight in before.items():
                names[name].copy_(weight)
        return moved, entry

    same, entry = step(0.0)
    assert same.abs().max() > 1e-4
    assert entry["sampler_kl"] == pytest.approx(0.0, abs=1e-6)
    less, entry = step(-math.log(1.5))
    torch.testing.assert_close(less, 1.5 * same, atol=1e-6, rtol=1e-3)
    assert entry["weight"] == pytest.approx(1.5, rel=1e-3)
    assert entry["sampler_kl"] == pytest.approx(1.5 - math.log(1.5) - 1, rel=1e-3)
    bounded, entry = step(-5.0)
    torch.testing.assert_close(bounded, 2.0 * same, atol=1e-6, rtol=1e-3)
    assert entry["weight"] == 2.0


def test_a_token_that_was_not_sampled_gets_no_gradient(tiny_tokenizer):
    """What is left of a merged token such as `)` of `)\n` stands for one that reached further."""
    builder = tiny_tokenizer.builder(instructed=False)
    tokens = tuple(tiny_tokenizer.encode(Segment("### DELL 2")))
    cut = evolve(said("### DELL 2", tokens, False), logprobs=(-0.5,) * (len(tokens) - 1))
    example = encode(ended("m"), tiny_tokenizer, builder, sampled=[cut])
    learned = [n for n, label in enumerate(example.labels) if label != NO_LABEL]
    assert tuple(example.ids[n] for n in learned) == tokens[:-1]
    assert {example.logprobs[n] for n in learned} == {-0.5}


def test_a_chain_that_is_too_long_is_not_compared_with(tiny_tokenizer):
    """It would move the group's mean: the others, all alike, would seem to differ from it."""
    builder = tiny_tokenizer.builder(instructed=False)
    short = Rollout(ended("s"), (said("x", (5,)),))
    long = Rollout(ended("m"), (said("x", (5,) * 200),))
    scores = [[1.0], [1.0], [-0.5]]
    assert (
        len(
            tokenize_rollouts(
                [short, short, long], scores, tiny_tokenizer, builder, RlvrConfig(max_tokens=999)
            )
        )
        == 3
    )
    assert (
        tokenize_rollouts(
            [short, short, long], scores, tiny_tokenizer, builder, RlvrConfig(max_tokens=200)
        )
        == []
    )


def test_edits_and_credit_count_where_the_settings_say_so(tiny_tokenizer):
    """Off by default. A right first edit is not blamed for what its own chain made of it."""
    builder = tiny_tokenizer.builder(instructed=False)

    def sampled(episode):
        texts = [turn.command_text for turn in episode.turns]
        return Rollout(episode, tuple(said(t, tiny_tokenizer.encode(Segment(t))) for t in texts))

    start = Episode(TaskDescription(), Scratchpad(("a",), "fails"))

    def repaired(line):
        return sampled(start.extend(start.attempt(f"### REPL 1 >>>{line}"), "", True))

    group = [repaired("c"), repaired("cdefg"), sampled(ended("m", "e"))]
    assert reward_group(group, RlvrConfig()) == [[1.0], [1.0], [-0.5, -0.5]]
    charged = reward_group(group, RlvrConfig(edit_penalty=0.5))
    assert charged == [[1.0], [1.0 - 0.5 * 0.8], [-0.5, -0.5]]

    group = [sampled(ended(".", "s")), sampled(ended(".", ":")), sampled(ended("m", "e"))]
    scores = reward_group(group, RlvrConfig())
    weights = {}
    for credit in ("chain", "best"):
        config = RlvrConfig(credit=credit)
        made = tokenize_rollouts(group, scores, tiny_tokenizer, builder, config)
        weights[credit] = [next(w for w in one.advantages if w) for one in made]
    assert weights["chain"][0] > 0 > weights["chain"][1]
    assert weights["best"][0] == weights["best"][1] > 0


def test_the_adapter_of_the_best_held_out_step_is_kept(tiny_model, tiny_tokenizer, tmp_path):
    """Step 2 of four; after a stop what was measured before still counts."""

    def sample(model, step):
        end = tuple(tiny_tokenizer.encode(Segment("### EXIT")))
        commands = (said("a", end), said("b", end))
        return SampledGroups([[Rollout(two_turns(), commands), Rollout(ended("m", "e"), commands)]])

    adapters, shares = [], iter([0.2, 0.1, 0.7, 0.7, 0.3])

    def evaluate(model):
        adapters.append({name: value.clone() for name, value in model.adapter_state().items()})
        return next(shares)

    config = RlvrConfig(steps=4, warmup=1, evaluate_every=1, save_every=1)
    for minutes in (0.0, 0.0, float("inf")):
        session = Session(tmp_path, 1, device="cpu", minutes=minutes)
        train_rlvr(
            copy.deepcopy(tiny_model), tiny_tokenizer, sample, config, session, evaluate=evaluate
        )
    assert len(adapters) == 5
    kept = read_adapter(tmp_path / "adapter")
    assert all(torch.equal(value, kept[name]) for name, value in adapters[2].items())
    assert any(not torch.equal(value, kept[name]) for name, value in adapters[3].items())
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["held_out"] for entry in entries] == [0.1, 0.7, 0.7, 0.3]
    shares = {name: share for name, share in entries[0].items() if name.startswith("share_")}
    assert shares == pytest.approx({"share_DELL": 1 / 3, "share_EXIT": 1 / 3, "share_REPL": 1 / 3})


def test_rlvr_improves_a_tiny_model(tiny_model, tiny_tokenizer, toy, task, sandbox, tmp_path):
    """From half-learned by SFT to solving more: the solve rate is measured before and after."""
    train_sft(
        tiny_model,
        toy,
        [],
        evolve(CONFIG, epochs=3.4),
        Session(tmp_path / "sft", 1, device="cpu"),
    )
    simple = evolve(
        task, setup="", reference="def f(x):\n    y = x\n    return y", tests=("assert f(3) == 3",)
    )
    lines = simple.reference.split("\n")
    programs = ["\n".join([*lines[:1], "    1 / 0", *lines[1:]])]
    builder = tiny_tokenizer.builder(instructed=False)

    def generator(seed):
        return TransformersGenerator(
            tiny_model.copy_merged(), tiny_tokenizer, builder, 1.0, seed=seed, command_tokens=16
        )

    def solve_rate():
        with started(simple, sandbox, programs) as starts:
            groups = roll_out(generator(-1), starts, each=32, max_turns=1, tester=AttemptTester(1))
        return sum(chain.episode.solved for group in groups for chain in group) / 32

    def sample(model, step):
        with started(simple, sandbox, programs) as starts:
            options = {"each": 16, "max_turns": 1, "tester": AttemptTester(2)}
            return SampledGroups(roll_out(generator(step), starts, **options))

    before = solve_rate()
    config = RlvrConfig(
        learning_rate=4e-4,
        steps=8,
        starts=1,
        num_generations=16,
        max_turns=1,
        warmup=1,
        save_every=4,
    )
    session = Session(tmp_path / "rlvr", 3, tmp_path / "sft" / "adapter")
    done = train_rlvr(tiny_model, tiny_tokenizer, sample, config, session)
    after = solve_rate()
    assert done
    assert before < 0.9
    assert after >= before + 0.2
    log = [
        json.loads(x) for x in (tmp_path / "rlvr" / "metrics.jsonl").read_text().split("\n")[:-1]
    ]
    assert [entry["step"] for entry in log] == list(range(1, 9))
    assert {"reward", "solve_rate", "malformed_rate", "turns", "kl", "entropy"} <= set(log[0])
    assert log[0]["kl"] == pytest.approx(0.0, abs=1e-4)  # the reference is where it started
    assert max(entry["kl"] for entry in log) > 0.0  # 0 where all chains of a step do the same


def test_rlvr_goes_on_after_a_kill_in_the_middle_of_a_line(tiny_model, tiny_tokenizer, tmp_path):
    def sample(model, step):
        end = tuple(tiny_tokenizer.encode(Segment("### EXIT")))
        solved = tuple(said(text, end) for text in ("a", "b"))
        return SampledGroups([[Rollout(two_turns(), solved), Rollout(ended("m", "e"), solved)]])

    config = RlvrConfig(steps=2, warmup=1)
    session = Session(tmp_path, 1, device="cpu", minutes=0.0)
    assert not train_rlvr(copy.deepcopy(tiny_model), tiny_tokenizer, sample, config, session)
    log = tmp_path / "metrics.jsonl"
    assert log.read_text().count("\n") == 1
    with log.open("a") as file:
        file.write('{"loss": 0.1, "st')
    session = Session(tmp_path, 1, device="cpu")
    assert train_rlvr(tiny_model, tiny_tokenizer, sample, config, session)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2]


def test_every_token_knows_its_turn(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)
    example = encode(two_turns(), tiny_tokenizer, builder, masked=[0])
    assert len(example.turn_of_token) == len(example.ids)
    for turn, command in enumerate(("### DELL 2", "### REPL 1 >>>c")):
        mine = zip(example.ids, example.turn_of_token, strict=True)
        said = [token for token, of in mine if of == turn]
        assert said[:-1] == tiny_tokenizer.encode(Segment(command))
    (count,) = example.count_labels_by_turn()  # the first is masked
    assert count == example.turn_of_token.count(1) == example.learned
