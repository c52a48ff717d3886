"""SFT and RLVR: masks, rewards and advantages by hand, and a tiny model that really learns."""

import copy
import json
import math
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import torch
from attrs import evolve

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import Segment, TaskDescription, detect_format
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.engine.sampling import Sampling
from training.model.base import find_base
from training.model.checkpoint import CheckpointError, list_checkpoints, load_adapter, save_adapter
from training.model.encode import NO_LABEL, SampledCommand, collate, encode, make_batches
from training.model.packing import TokenizedRollout, make_packed_batches, pack
from training.model.policy_model import Lora, PolicyModel, TrainingError
from training.pipeline.config import ModelConfig, RunConfig
from training.pipeline.workspace import TrainingRun, open_served_generator
from training.rewards import (
    compute_advantages,
    compute_returns,
    compute_rewards,
    draw_random_rewards,
)
from training.rlvr import (
    RlvrConfig,
    SampledGroups,
    add_reference,
    policy_loss,
    tokenize_rollouts,
    train_rlvr,
    update,
)
from training.sampling.faulty_programs import (
    ProgramSampling,
    collect_failed_states,
    write_faulty_programs,
)
from training.sampling.hf_generate import sample_continuations
from training.sampling.rollouts import (
    AttemptTester,
    Rollout,
    Start,
    TransformersGenerator,
    roll_out,
)
from training.sampling.whole_programs import Answer, Question, TransformersWriter
from training.session import Session
from training.sft import SftConfig, train_sft, validate
from training.tasks.environment import TaskEnvironment
from training.tasks.records import Record

ROOT = Path(__file__).parents[2]


def toy_records(count):
    """Repairs that two layers can learn by heart: a line too many is deleted."""
    records = []
    for n in range(count):
        place = 1
        lines = ["def f(x):", "    y = x", "    return y"]
        lines.insert(place, "    1 / 0")
        feedback = (
            f"1 of 1 tests fail\nassert 1 (line {place + 1}): ZeroDivisionError: division by zero\n"
            "in assert f(3) == 3"
        )
        episode = Episode(TaskDescription(), Scratchpad(tuple(lines), feedback))
        attempt = episode.attempt(f"### DELL {place + 1}")
        records.append(Record(f"toy/{n}", episode.extend(attempt, "", True)))
    return records


def score(model, batch):
    return model(batch.ids, batch.mask, batch.labels)


def two_turns():
    episode = Episode(TaskDescription(), Scratchpad(("a", "b"), "1 of 1 tests fail"))
    episode = episode.extend(episode.attempt("### DELL 2"), "1 of 1 tests fail", False)
    return episode.extend(episode.attempt("### REPL 1 >>>c"), "", True)


# -- masks


@pytest.mark.parametrize("masked", [(), (0,), (1,)])
def test_only_commands_and_their_ends_have_labels(tiny_tokenizer, masked):
    builder = tiny_tokenizer.builder(instructed=False)
    example = encode(two_turns(), tiny_tokenizer, builder, masked=masked)
    (end,) = tiny_tokenizer.encode(builder.command_end)
    learned = [label for label in example.labels if label != NO_LABEL]
    commands = ["### DELL 2", "### REPL 1 >>>c"]
    wanted = []
    for number, command in enumerate(commands):
        if number not in masked:
            wanted += [*tiny_tokenizer.encode(Segment(command)), end]
    assert learned == wanted
    for token, label in zip(example.ids, example.labels, strict=True):
        assert label in (NO_LABEL, token)
    # The state after the last turn is shown to nobody, so a command's end is the last token.
    assert example.ids[-1] == end


def test_tokens_are_those_of_the_serving_engine(tiny_tokenizer, tiny_gguf):
    from coe_lsp.chain.episode import episode_segments
    from coe_lsp.engine.engine import Engine

    odd = 'def f(x):\n\treturn "<|im_end|> é 🎉" >>>  # \u3000\n'
    episode = Episode(TaskDescription(odd, odd, (odd,)), Scratchpad(tuple(odd.split("\n")), odd))
    episode = episode.extend(episode.attempt(f"### REPL 1 >>>{odd[:9]}"), odd, False)
    builder = tiny_tokenizer.builder(instructed=True)
    segments = [segment for segment, _ in episode_segments(builder, episode)]
    with Engine(tiny_gguf, context_tokens=256) as engine:
        assert tiny_tokenizer.tokenize(segments, add_bos=True) == engine.tokenize(
            segments, add_bos=True
        )


def test_batches_hold_everything_once_and_fit(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)
    examples = [encode(record.episode, tiny_tokenizer, builder) for record in toy_records(40)]
    made = list(make_batches(examples, 300, "0/0"))
    assert sorted(e.ids for batch in made for e in batch) == sorted(e.ids for e in examples)
    assert all(max(len(e.ids) for e in batch) * len(batch) <= 300 for batch in made)
    assert list(make_batches(examples, 300, "0/0")) == made
    assert list(make_batches(examples, 300, "0/1")) != made
    batch = collate(made[0])
    assert batch.ids.shape == batch.mask.shape == batch.labels.shape
    assert int(batch.mask.sum()) == sum(len(e.ids) for e in made[0])


# -- rewards


def ended(*outcomes, max_turns=10):
    """An episode of turns that were malformed (m), without effect (.), solving (s), exiting (e)."""
    episode = Episode(TaskDescription(), Scratchpad(("a",), "fails"), max_turns=max_turns)
    texts = {"m": "nonsense", ".": "### REPL 1 >>>b", "s": "### REPL 1 >>>c", "e": "### EXIT"}
    for outcome in outcomes:
        episode = episode.extend(episode.attempt(texts[outcome]), "fails", outcome == "s")
    return episode


def test_rewards():
    assert compute_rewards(ended("s")) == [1.0]
    assert compute_rewards(ended(".", "m", "s")) == [0.0, -0.5, 1.0]
    assert compute_rewards(ended(".", "e")) == [0.0, 0.0]
    assert compute_rewards(ended(".", ".", max_turns=2)) == [0.0, -0.5]  # never exited
    assert compute_rewards(ended(".", "m", max_turns=2)) == [0.0, -0.5]  # not punished twice
    assert compute_rewards(ended(".", "s", max_turns=2)) == [0.0, 1.0]
    assert compute_rewards(ended(".", ".")) == [0.0, -0.5]  # cut off, for want of context
    assert draw_random_rewards(ended(), Random(0)) == []
    coin = {tuple(draw_random_rewards(ended(".", "."), Random(n))) for n in range(20)}
    assert coin == {(0.0, 0.0), (0.0, 1.0)}


def test_advantages_by_turn():
    assert compute_returns([0.0, -0.5, 1.0]) == [0.5, 0.5, 1.0]
    # Turn 1: returns 1, 1, -0.5, 0 (mean 0.375, deviation 0.649519).
    # Turn 2: returns 1 and -0.5 of those alive (mean 0.25, deviation 0.75).
    # Turn 3: one is alive, so it is compared with all at turn 1.
    group = [[0.0, 0.0, 1.0], [1.0], [0.0, -0.5], [0.0]]
    made = compute_advantages(group)
    first = [(value - 0.375) / 0.649619 for value in (1, 1, -0.5, 0)]
    assert [rollout[0] for rollout in made] == pytest.approx(first, abs=1e-3)
    assert made[0][1] == pytest.approx(1.0, abs=1e-3)
    assert made[2][1] == pytest.approx(-1.0, abs=1e-3)
    assert made[0][2] == pytest.approx((1 - 0.375) / 0.649619, abs=1e-3)
    assert compute_advantages([[0.0], [0.0]]) == [[0.0], [0.0]]
    assert compute_advantages([[], [1.0]]) == [[], [0.0]]


def test_each_command_gets_the_advantage_of_its_turn(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)

    def sampled(episode):
        texts = [turn.command_text for turn in episode.turns]
        return Rollout(
            episode,
            tuple(SampledCommand(t, tuple(tiny_tokenizer.encode(Segment(t))), True) for t in texts),
        )

    group = [sampled(two_turns()), sampled(ended("m", "e"))]
    scores = [[0.0, 1.0], [-0.5, 0.0]]
    made = tokenize_rollouts(group, scores, tiny_tokenizer, builder, 2048)
    by_turn = compute_advantages(scores)
    for rollout, wanted in zip(made, by_turn, strict=True):
        seen = []
        for weight, label in zip(rollout.advantages, rollout.example.labels, strict=True):
            assert label != NO_LABEL or weight == 0.0
            if label != NO_LABEL and (not seen or seen[-1] != weight):
                seen.append(weight)
        assert seen == pytest.approx(wanted)
    assert tokenize_rollouts(group, [[0.0, 0.0], [0.0, 0.0]], tiny_tokenizer, builder, 2048) == []


def test_the_tokens_learned_are_those_that_were_sampled(tiny_tokenizer):
    """Not another spelling of the same text, and no end where the model was cut off."""
    builder = tiny_tokenizer.builder(instructed=False)
    letters = [t for letter in "### DELL 2" for t in tiny_tokenizer.encode(Segment(letter))]
    assert letters != tiny_tokenizer.encode(Segment("### DELL 2"))
    (end,) = tiny_tokenizer.encode(builder.command_end)
    episode = ended("m", "m", "s")
    sampled = [
        SampledCommand("nonsense", tuple(letters), False),
        SampledCommand("", (), False),
        SampledCommand("x", tuple(letters[:1]), True),
    ]
    example = encode(episode, tiny_tokenizer, builder, sampled=sampled)
    learned = [label for label in example.labels if label != NO_LABEL]
    assert learned == [*letters, letters[0], end]
    assert example.ids.count(end) >= 3  # the context has them all
    scores = [[-0.25, -0.5, 1.0], [0.0, 0.0, 0.0]]
    other = Rollout(ended(".", ".", "e"), (SampledCommand("x", (5,), True),) * 3)
    made = tokenize_rollouts(
        [Rollout(episode, tuple(sampled)), other], scores, tiny_tokenizer, builder, 999
    )
    by_turn = compute_advantages(scores)[0]
    weights = [weight for weight in made[0].advantages if weight]
    assert weights == pytest.approx([by_turn[0]] * len(letters) + [by_turn[2]] * 2)


def test_a_row_of_chains_gives_what_the_chains_give(tiny_model, tiny_tokenizer):
    """Log-probabilities and gradients; their opening is there once, unless rows get too long."""
    builder = tiny_tokenizer.builder(instructed=False)

    def rollouts(*episodes):
        examples = [encode(e, tiny_tokenizer, builder) for e in episodes]
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
    example = encode(two_turns(), tiny_tokenizer, tiny_tokenizer.builder(instructed=False))
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
        )
        assert entry["learned_tokens"] == example.learned
        return torch.cat([weight.detach().flatten() for weight in names.values()])

    start = torch.cat([weight.flatten() for weight in before.values()])
    once = after(1, 0.2)
    assert (once - start).abs().max() > 1e-4
    torch.testing.assert_close(after(2, 0.0), once, atol=0, rtol=0)
    again = (after(2, 10.0) - once).abs().max()
    assert again > 0.5 * (once - start).abs().max()


# -- learning

CONFIG = SftConfig(
    learning_rate=6e-3,
    epochs=4,
    batch_tokens=680,
    micro_tokens=340,
    warmup=2,
    evaluate_every=4,
    save_every=5,
)


@pytest.fixture
def toy(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)
    return [encode(record.episode, tiny_tokenizer, builder) for record in toy_records(24)]


def train(model, examples, folder, **options):
    done = train_sft(
        model, examples, examples[:6], CONFIG, Session(folder, 1, device="cpu", **options)
    )
    lines = (folder / "metrics.jsonl").read_text().split("\n")[:-1]
    return done, [json.loads(line) for line in lines]


def test_no_epochs_leave_an_adapter_as_it_is(tiny_model, toy, tmp_path):
    before = {name: weight.clone() for name, weight in tiny_model.adapter_state().items()}
    train_sft(tiny_model, toy, [], evolve(CONFIG, epochs=0), Session(tmp_path, 1, device="cpu"))
    for weight in tiny_model.trainable().values():
        weight.data.zero_()
    load_adapter(tmp_path / "adapter", tiny_model)
    after = tiny_model.adapter_state()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_with_a_base_in_16_bits_the_adapter_computes_in_them_too(tiny_base, tiny_tokenizer):
    """And gets its gradients in 32."""
    example = encode(two_turns(), tiny_tokenizer, tiny_tokenizer.builder(instructed=False))
    batch = collate([example])
    torch.manual_seed(0)
    whole = PolicyModel(copy.deepcopy(tiny_base), Lora())
    torch.manual_seed(0)
    half = PolicyModel(copy.deepcopy(tiny_base).to(torch.bfloat16), Lora())
    seen = set()
    for name, module in half.peft.named_modules():
        if name.endswith("lora_A.default"):
            module.register_forward_hook(
                lambda _m, given, out: seen.add((given[0].dtype, out.dtype))
            )
    (right, _, _), (found, _, _) = score(whole, batch), score(half, batch)
    assert seen == {(torch.bfloat16, torch.bfloat16)}
    torch.testing.assert_close(found, right, atol=0.1, rtol=0.02)
    found.sum().backward()
    gradients = [p.grad for name, p in half.trainable().items() if "lora_B" in name]
    assert {g.dtype for g in gradients} == {torch.float32}
    assert all(g.abs().sum() > 0 for g in gradients)


def test_sft_learns_and_resumes_to_the_same_numbers(tiny_gguf, tiny_model, toy, tmp_path):
    before = validate(tiny_model, toy[:6], 400, torch.device("cpu"))
    start = tiny_model.adapter_state()
    start = {name: value.clone() for name, value in start.items()}
    done, whole = train(tiny_model, toy, tmp_path / "whole")
    assert done
    assert before["command_accuracy"] < 0.5
    assert whole[-1]["command_accuracy"] == 1.0
    assert whole[-1]["validation_loss"] < 0.1 * before["validation_loss"]
    final = {name: value.clone() for name, value in tiny_model.adapter_state().items()}

    tiny_model.load_adapter_state(start)
    stopped, _ = train(tiny_model, toy, tmp_path / "part", minutes=0.0)
    assert not stopped
    tiny_model.load_adapter_state(start)  # as a new process would find it
    stopped, _ = train(tiny_model, toy, tmp_path / "part", minutes=0.02)
    tiny_model.load_adapter_state(start)
    done, parts = train(tiny_model, toy, tmp_path / "part")
    assert done
    assert [e["step"] for e in parts] == [e["step"] for e in whole]
    assert [e["loss"] for e in parts] == pytest.approx([e["loss"] for e in whole], abs=1e-5)
    for name, value in tiny_model.adapter_state().items():
        assert torch.allclose(value, final[name], atol=1e-5), name
    kept = list_checkpoints(tmp_path / "part")
    assert len(kept) == 2
    assert all(f.stat().st_size < 16 << 20 for path in kept for f in path.rglob("*") if f.is_file())
    with pytest.raises(CheckpointError, match="no adapter"):
        load_adapter(tmp_path / "nothing", tiny_model)


@pytest.mark.slow
def test_sft_on_two_processes_gives_the_numbers_of_one(tiny_gguf, tiny_model, toy, tmp_path):
    _, alone = train(tiny_model, toy, tmp_path / "alone")
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import sys, torch
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
from test_learning import CONFIG, toy_records
from training.model.base import find_base, load_model, load_tokenizer
from training.model.encode import encode
from training.model.packing import TokenizedRollout, make_packed_batches, pack
from training.model.policy_model import Lora, PolicyModel
from training.session import Session
from training.sft import train_sft

torch.set_num_threads(1)
source = find_base({str(tiny_gguf)!r})
tokenizer = load_tokenizer(source)
builder = tokenizer.builder(instructed=False)
examples = [encode(record.episode, tokenizer, builder) for record in toy_records(24)]
torch.manual_seed(0)
model = PolicyModel(load_model(source, dtype=torch.float32), Lora())
train_sft(model, examples, examples[:6], CONFIG, Session(Path({str(tmp_path / "both")!r}), 1, device="cpu"))
"""
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    subprocess.run([*command, str(script)], check=True, capture_output=True, timeout=400)
    lines = (tmp_path / "both" / "metrics.jsonl").read_text().split("\n")[:-1]
    both = [json.loads(line) for line in lines]
    assert [e["loss"] for e in both][:6] == pytest.approx([e["loss"] for e in alone][:6], abs=1e-3)
    assert both[-1]["command_accuracy"] == 1.0


@contextmanager
def started(task, sandbox, programs):
    with TaskEnvironment(task, sandbox) as environment:
        environment.calibrate()
        yield [Start(environment, program) for program in programs]


def test_chains_advance_as_many_together_as_the_generator_does_best(task, sandbox):
    """The order of the groups is that of the starts, whoever went first."""

    class Scripted:
        at_once = 4

        def __init__(self):
            self.seen = []

        def commands(self, episodes, *, redraw=0):
            assert not redraw
            self.seen.append(sorted(episodes))
            first = {n: not episodes[n].turns for n in episodes}
            return {
                n: SampledCommand("### DELL 1" if first[n] else "### EXIT", (n,), True)
                for n in first
            }

        def forget(self, chain):
            self.seen[-1].append(-chain)

    programs = [f"{task.reference}\n# {n}" for n in range(3)]
    generator = Scripted()
    with started(task, sandbox, programs) as starts:
        groups = roll_out(generator, starts, each=2, max_turns=3, tester=AttemptTester(2))
    assert generator.seen == [[0, 1, 2, 3], [0, 1, 2, 3, 0, -1, -2, -3], [4, 5], [4, 5, -4, -5]]
    for number, group in enumerate(groups):
        assert [chain.commands[0].tokens for chain in group] == [(2 * number,), (2 * number + 1,)]
        assert all(chain.episode.start.lines[-1] == f"# {number}" for chain in group)
        assert all(chain.episode.exited for chain in group)


def test_edits_that_lead_back_are_drawn_again_a_few_times(task, sandbox):
    class Stubborn:
        at_once = 4
        calls = 0

        def commands(self, episodes, *, redraw=0):
            self.calls += 1
            same = "### REPL 1 >>>" + task.reference.split("\n")[0]
            said = {0: [same, "### DELL 99", "### DELL 1"], 1: [same] * 7}
            return {n: SampledCommand(said[n][redraw], (redraw,), True) for n in episodes}

        def forget(self, chain):
            pass

    generator = Stubborn()
    with started(task, sandbox, [task.reference + "\nassert False"]) as starts:
        (group,) = roll_out(generator, starts, each=2, max_turns=1, tester=AttemptTester(1))
    assert [chain.episode.turns[0].command_text[:8] for chain in group] == ["### DELL", "### REPL"]
    assert [chain.commands[0].tokens for chain in group] == [(2,), (0,)]
    assert generator.calls == 7


def test_rollouts_come_from_the_merged_model_where_that_is_served(
    tiny_model, tiny_gguf, tmp_path, monkeypatch
):
    source = evolve(find_base(str(tiny_gguf)), merges=True)
    monkeypatch.setattr("training.model.base.find_base", lambda name: source)
    config = RunConfig(str(tmp_path), model=ModelConfig(base=str(tiny_gguf), device="cpu"))
    save_adapter(tmp_path / "sft" / "adapter", tiny_model)
    whole = tmp_path / "sft" / "merged.gguf"
    episode = Episode(TaskDescription(), Scratchpad(("a", "b"), "1 of 1 tests fail"))
    left = tmp_path / "sft" / "merged.gguf.0a.part"  # by a run that was killed
    left.write_bytes(b"GGUF")
    with open_served_generator(
        TrainingRun(config, print), tmp_path / "sft" / "adapter", 2
    ) as generator:
        assert whole.exists()
        assert not left.exists()
        (written,) = generator.commands({7: episode}).values()
    assert written.tokens
    assert not whole.exists()


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


# -- sampling with transformers


def test_a_context_that_is_there_several_times_is_read_once(tiny_base, tiny_tokenizer, monkeypatch):
    texts = ["def f(x):\n    return x", "a", "for name in names:\n    print("]
    contexts = [tiny_tokenizer.encode(Segment(text)) for text in texts]
    options = {"ends": [0], "most": 6, "temperature": 0.0, "seed": 1}
    alone = sample_continuations(tiny_base, contexts, **options)
    read, forward = [], tiny_base.forward

    def counting(ids=None, **given):
        read.append((given.get("input_ids") if ids is None else ids).numel())
        return forward(ids, **given) if ids is not None else forward(**given)

    monkeypatch.setattr(tiny_base, "forward", counting)
    several = sample_continuations(tiny_base, [*contexts, contexts[0], contexts[2]], **options)
    assert several == [*alone, alone[0], alone[2]]
    longest = max(map(len, contexts))
    # Three contexts but for their last tokens, then five rows a step.
    assert read[0] == 3 * (longest - 1) and set(read[1:]) == {5}
    drawn = sample_continuations(tiny_base, [contexts[0]] * 4, **options | {"temperature": 1.0})
    assert len({tuple(row) for row in drawn}) > 1


def test_what_may_be_drawn_again_is_one_batch(tiny_model, tiny_tokenizer, monkeypatch):
    asked = []

    def counted(model, contexts, **options):
        asked.append((len(contexts), options["temperature"], options["seed"]))
        return sample_continuations(model, contexts, **options)

    monkeypatch.setattr("training.sampling.rollouts.sample_continuations", counted)
    builder = tiny_tokenizer.builder(instructed=False)
    generator = TransformersGenerator(
        tiny_model.copy_merged(), tiny_tokenizer, builder, 0.5, seed=3, command_tokens=8
    )
    episodes = {
        chain: Episode(TaskDescription(), Scratchpad((text,), "1 of 1 tests fail"))
        for chain, text in {4: "a = 1", 9: "b = 2"}.items()
    }
    first = generator.commands(episodes)
    again = [generator.commands({9: episodes[9]}, redraw=n) for n in range(1, 7)]
    assert set(first) == {4, 9} and all(set(one) == {9} for one in again)
    assert len({one[9].text for one in again}) > 1
    assert [(count, heat) for count, heat, _ in asked] == [(2, 0.5), (6, 1.0)]
    generator.commands(episodes, redraw=1)
    assert [count for count, *_ in asked[2:]] == [6, 6]  # no more than `at_once`
    assert asked[0][2] != asked[1][2]


def test_attention_is_not_left_to_cudnn(tiny_base):
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_the_merged_copy_says_what_the_model_with_its_adapter_says(tiny_model, tiny_tokenizer):
    with torch.no_grad():
        for weight in tiny_model.trainable().values():
            weight.normal_(std=0.05)
    ids = torch.tensor([tiny_tokenizer.encode(Segment("def f(x):\n    return x"))])
    merged = tiny_model.copy_merged()
    assert not any("lora" in name for name, _ in merged.named_parameters())
    with torch.no_grad():
        base = tiny_model.peft.get_base_model()
        with tiny_model.peft.disable_adapter():
            without = base(ids).logits
        beside, within = base(ids).logits, merged(ids).logits
    assert torch.allclose(beside, within, atol=1e-3)
    assert not torch.allclose(beside, without, atol=1e-1)


def test_a_gradient_that_is_not_finite_ends_training(tiny_model, toy, tmp_path):
    weight = next(iter(tiny_model.trainable().values()))
    weight.register_hook(lambda gradient: gradient * math.nan)
    before = {key: value.clone() for key, value in tiny_model.adapter_state().items()}
    with pytest.raises(TrainingError, match="not a finite number"):
        train_sft(tiny_model, toy, [], CONFIG, Session(tmp_path, 1, device="cpu"))
    assert not (tmp_path / "adapter").exists()
    after = tiny_model.adapter_state()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_questions_asked_together_get_their_own_answers(tiny_base, tiny_tokenizer):
    """Greedy answers do not depend on what else is asked, nor on how many are wanted."""
    writer = TransformersWriter(tiny_base, tiny_tokenizer, 8)
    greedy = Sampling(max_tokens=6)
    questions = [Question((Segment(text),), 1) for text in ("def f(x):", "a = [1, 2, 3]")]
    alone = [writer.answers([question], 1, greedy)[0][0] for question in questions]
    assert alone[0] != alone[1]
    assert writer.answers(questions, 2, greedy) == [[alone[0]] * 2, [alone[1]] * 2]


def test_faulty_programs_are_written_for_several_tasks_at_once(task, sandbox):
    class Wrong:
        format, at_once = detect_format(None), 4
        asked = 0

        def answers(self, questions, each, sampling):
            self.asked += 1
            text = "```python\ndef above(v, l):\n    return {}\n```"
            return [[Answer(text.format(q.seed), 9)] * each for q in questions]

    tasks = [evolve(task, task_id=f"toy/{n}") for n in range(3)]
    writer = Wrong()
    made = list(write_faulty_programs(tasks, writer, ProgramSampling(2), sandbox, threads=2))
    assert [t.task_id for t in made] == ["toy/0#0", "toy/1#0", "toy/2#0"]
    assert len({t.code for t in made}) == 3 and writer.asked == 1


def test_states_of_failed_chains_become_starts(task, sandbox):
    """Of several tasks at once, each with what its own chains left; a solved one leaves nothing."""

    class Fixed:
        at_once = 8

        def commands(self, episodes, *, redraw=0):
            lines = {n: episode.start.lines for n, episode in episodes.items()}
            texts = {
                n: "### REPL 4 >>>        if value > limit:" if "<" in text[3] else f"### DELL {n}"
                for n, text in lines.items()
            }
            return {n: SampledCommand(text, (1,), True) for n, text in texts.items()}

        def forget(self, chain):
            pass

    wrong = task.reference.replace(">", "<"), task.reference.replace("+= 1", "+= 2")
    tasks = [evolve(task, task_id=f"toy/{n}", code=code) for n, code in enumerate(wrong)]
    options = {
        "each": 2,
        "max_turns": 1,
        "with_instructions": 0.0,
        "sandbox": sandbox,
        "threads": 2,
    }
    made = list(collect_failed_states(tasks, Fixed(), **options))
    left = [wrong[1].split("\n"), wrong[1].split("\n")]
    del left[0][1], left[1][2]
    assert [t.task_id for t in made] == ["toy/1#0", "toy/1#1"]
    assert [t.code for t in made] == ["\n".join(lines) for lines in left]
