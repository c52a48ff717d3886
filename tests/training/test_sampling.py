"""Rollouts, whole programs and faulty ones, from transformers and from the serving engine."""

from copy import copy

import pytest
import torch
from attrs import evolve
from training_toys import ended, said, started

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import Segment, TaskDescription, detect_format
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.engine.sampling import Sampling
from training.model.checkpoint import save_adapter
from training.model.encode import encode
from training.model.sampled import SampledCommand
from training.model.source import find_base
from training.pipeline.config import ModelConfig, RunConfig
from training.pipeline.workspace import TrainingRun, open_served_generator
from training.rewards import compute_rewards
from training.sampling.faulty_programs import (
    ProgramSampling,
    collect_failed_states,
    write_faulty_programs,
)
from training.sampling.groups import sample_informative
from training.sampling.hf_generate import Continuation, sample_continuations
from training.sampling.hf_generator import TransformersGenerator
from training.sampling.rollouts import AttemptTester, Rollout, make_start, roll_out
from training.sampling.whole_programs import Answer, Question, TransformersWriter
from training.tasks.environment import TaskEnvironment
from training.tasks.hidden import choose_hidden


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
            return {n: said("### DELL 1" if first[n] else "### EXIT", (n,)) for n in first}

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
            texts = {0: [same, "### DELL 99", "### DELL 1"], 1: [same] * 7}
            return {n: said(texts[n][redraw], (redraw,)) for n in episodes}

        def forget(self, chain):
            pass

    generator = Stubborn()
    with started(task, sandbox, [task.reference + "\nassert False"]) as starts:
        (group,) = roll_out(generator, starts, each=2, max_turns=1, tester=AttemptTester(1))
    assert [chain.episode.turns[0].command_text[:8] for chain in group] == ["### DELL", "### REPL"]
    assert [chain.commands[0].tokens for chain in group] == [(2,), (0,)]
    assert generator.calls == 7


def test_what_learns_from_its_own_draws_sees_the_first_ones(task, sandbox):
    class Stubborn:
        at_once = 4

        def commands(self, episodes, *, redraw=0):
            assert not redraw
            same = "### REPL 1 >>>" + task.reference.split("\n")[0]
            return {n: said(same, (n,)) for n in episodes}

        def forget(self, chain):
            pass

    with started(task, sandbox, [task.reference + "\nassert False"]) as starts:
        tester = AttemptTester(1)
        ((chain,),) = roll_out(
            Stubborn(), starts, each=1, max_turns=2, tester=tester, redraws=False
        )
    assert len(chain.episode.turns) == 2
    assert compute_rewards(chain.episode) == [-0.1, -0.5]


def test_a_third_of_the_tests_is_hidden_and_tells_repairs_from_what_fits(task, sandbox):
    """The chain ends when what it sees passes; it is right only if the rest does as well."""
    tests = tuple(f"assert above([1] * {n}, 0) == {n}" for n in range(1, 4))
    faulty = evolve(task, tests=tests, code=task.reference.replace("+= 1", "+= 2"))
    with TaskEnvironment(faulty, sandbox) as environment:
        start = make_start(environment, 0.0)
        assert len(environment.tests) == 2
        (hidden,) = {f"assert {n}" for n in (1, 2, 3)} - set(environment.tests)
        shown = [int(name[-1]) for name in environment.tests]

        class Cheat:
            at_once = 4

            def commands(self, episodes, *, redraw=0):
                by_length = ", ".join(f"{n}: {n}" for n in shown)
                cheat = f"    return {{{by_length}}}.get(len(values))"
                right = "            total += 1"
                texts = {0: f"### REPL 6 >>>{cheat}", 1: f"### REPL 5 >>>{right}"}
                return {n: said(texts[n], (n,)) for n in episodes}

            def forget(self, chain):
                pass

        ((cheated, repaired),) = roll_out(
            Cheat(), [start], each=2, max_turns=1, tester=AttemptTester(1)
        )
        assert cheated.episode.solved and repaired.episode.solved
        assert (cheated.overfits, repaired.overfits) == (True, False)
        assert f"[1] * {hidden[-1]}," not in repr(start.episode(1))


def test_a_failing_test_is_never_hidden():
    tests = [f"t{n}" for n in range(9)]
    for seed in range(30):
        hidden = choose_hidden(tests, set(tests) - {"t4"}, str(seed))
        assert len(hidden) == 3 and "t4" not in hidden
    assert choose_hidden(tests[:2], (), "0") == ()
    assert len({choose_hidden(tests, (), str(seed)) for seed in range(9)}) > 3


def test_groups_that_are_all_alike_are_replaced_up_to_a_bound():
    right, wrong = Rollout(ended("s")), Rollout(ended("m"))
    overfits = Rollout(ended("s"), overfits=True)
    groups = {
        "a": [right, wrong],
        "b": [right, right],
        "c": [wrong, overfits],
        "d": [right, overfits],
        "e": [wrong, wrong],
        "f": [right, wrong],
    }
    asked = []

    def sample(some):
        asked.append("".join(some))
        return [groups[name] for name in some]

    found = sample_informative(iter("abcdef"), sample, 3, 2)
    assert asked == ["abc", "de", "f"]
    assert found.groups == [groups["a"], groups["d"], groups["f"]]
    assert found.alike == [groups["b"], groups["c"], groups["e"]]
    asked.clear()
    assert len(sample_informative(iter("bcef"), sample, 1, 1).groups) == 0
    assert asked == ["b", "c"]


def test_what_only_prepares_a_test_is_not_hidden(task, sandbox):
    """Else a chain would be judged by three statements that no program fails."""
    prepared = evolve(task, tests=("x = [1, 2]", "limit = 1", "y = []", *task.tests))
    with TaskEnvironment(prepared, sandbox) as environment:
        assert environment.asserting == ("assert 4", "assert 5")
        make_start(environment, 0.0)
        assert not environment.has_hidden
    third = evolve(prepared, tests=(*prepared.tests, "assert above(x, limit) == 1"))
    with TaskEnvironment(third, sandbox) as environment:
        make_start(environment, 0.0)
        assert environment.has_hidden and len(environment.asserting) == 2


def test_right_chains_that_change_more_and_less_are_not_alike_where_edits_count():
    start = Episode(TaskDescription(), Scratchpad(("a",), "fails"))

    def repaired(line):
        return Rollout(start.extend(start.attempt(f"### REPL 1 >>>{line}"), "", True))

    groups = {"x": [repaired("b"), repaired("bcd")], "y": [repaired("b"), repaired("c")]}

    def kept(by_edits):
        sample = [groups[name] for name in "xy"]
        return sample_informative(iter("xy"), lambda _: sample, 2, 0, by_edits=by_edits).groups

    assert kept(False) == []
    assert kept(True) == [groups["x"]]


def test_log_probabilities_are_those_of_what_was_drawn(tiny_base, tiny_tokenizer):
    """At any temperature those of the model itself, for rows of different lengths."""
    texts = ["def f(x):\n    return x", "a = 1"]
    contexts = [tiny_tokenizer.encode(Segment(text)) for text in texts]
    options = {"ends": [0], "most": 5, "seed": 1}
    for temperature in (0.0, 0.7):
        written = sample_continuations(tiny_base, contexts, temperature=temperature, **options)
        for context, one in zip(contexts, written, strict=True):
            ids = torch.tensor([[*context, *one.tokens]])
            with torch.no_grad():
                scores = tiny_base(ids).logits[0].log_softmax(-1)
            wanted = [
                float(scores[len(context) + n - 1, token]) for n, token in enumerate(one.tokens)
            ]
            assert list(one.logprobs) == pytest.approx(wanted, abs=1e-3)


def test_a_context_has_the_tokens_that_were_sampled(tiny_model, tiny_tokenizer, monkeypatch):
    """Not another spelling of the command; and the sampler stops where the learner's room ends."""
    spelt = tuple(t for x in "### DELL 2" for t in tiny_tokenizer.encode(Segment(x)))
    builder = tiny_tokenizer.builder(instructed=False)
    (end,) = tiny_tokenizer.encode(builder.command_end)[:1]
    seen = []

    def scripted(model, contexts, **options):
        seen.extend(contexts)
        return [Continuation((*spelt, end), (-0.25,) * (len(spelt) + 1)) for _ in contexts]

    monkeypatch.setattr("training.sampling.hf_generator.sample_continuations", scripted)
    generator = TransformersGenerator(tiny_model, tiny_tokenizer, builder, 1.0, command_tokens=8)
    episode = Episode(TaskDescription(), Scratchpad(("a", "b"), "1 of 1 tests fail"))
    (first,) = generator.commands({3: episode}).values()
    assert first == SampledCommand("### DELL 2", spelt, True, (-0.25,) * (len(spelt) + 1))
    later = episode.extend(episode.attempt(first.text), "1 of 1 tests fail", False)
    generator.commands({3: later})
    learner = encode(later, tiny_tokenizer, builder, sampled=[first])
    assert seen[1] == learner.ids
    generator.max_tokens = len(seen[1]) + 7
    assert generator.commands({3: later}) == {}
    generator.forget(3)


def test_rollouts_come_from_the_merged_model_where_that_is_served(
    tiny_model, tiny_gguf, tmp_path, monkeypatch
):
    source = evolve(find_base(str(tiny_gguf)), merges=True)
    monkeypatch.setattr("training.model.source.find_base", lambda name: source)
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
    assert len(written.logprobs) in (len(written.tokens) - 1, len(written.tokens) + written.ended)
    assert all(score < 0 for score in written.logprobs)
    assert not whole.exists()


def texts_of(written):
    return [one.tokens for one in written]


def test_a_context_that_is_there_several_times_is_read_once(tiny_base, tiny_tokenizer, monkeypatch):
    texts = ["def f(x):\n    return x", "a", "for name in names:\n    print("]
    contexts = [tiny_tokenizer.encode(Segment(text)) for text in texts]
    options = {"ends": [0], "most": 6, "temperature": 0.0, "seed": 1}
    alone = texts_of(sample_continuations(tiny_base, contexts, **options))
    read, forward = [], tiny_base.forward

    def counting(ids=None, **given):
        read.append((given.get("input_ids") if ids is None else ids).numel())
        return forward(ids, **given) if ids is not None else forward(**given)

    monkeypatch.setattr(tiny_base, "forward", counting)
    more = [*contexts, contexts[0], contexts[2]]
    several = texts_of(sample_continuations(tiny_base, more, **options))
    assert several == [*alone, alone[0], alone[2]]
    longest = max(map(len, contexts))
    # Three contexts but for their last tokens, then five rows a step.
    assert read[0] == 3 * (longest - 1) and set(read[1:]) == {5}
    drawn = sample_continuations(tiny_base, [contexts[0]] * 4, **options | {"temperature": 1.0})
    assert len(set(texts_of(drawn))) > 1


def test_what_may_be_drawn_again_is_one_batch(tiny_model, tiny_tokenizer, monkeypatch):
    asked = []

    def counted(model, contexts, **options):
        asked.append((len(contexts), options["temperature"], options["seed"]))
        return sample_continuations(model, contexts, **options)

    monkeypatch.setattr("training.sampling.hf_generator.sample_continuations", counted)
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


@pytest.mark.parametrize(
    ("format", "after", "ended"),
    [("chatml", "\n<end>", False), ("chatml", "<end>", True), ("plain", "\n\n1 >>>x", True)],
)
@pytest.mark.parametrize("text", ["### REPL 1 >>>a", "### ADDB 1\n>>>a\n>>>", "### REPB 1 2"])
def test_a_command_is_cut_where_the_serving_engine_cuts_it(
    tiny_model, tiny_tokenizer, monkeypatch, format, after, ended, text
):
    """The model goes on writing; what it would write after the command is not asked for."""
    tokenizer = copy(tiny_tokenizer)
    tokenizer.format = format
    builder = tokenizer.builder(instructed=False)
    (end,) = tiny_tokenizer.encode(Segment("<|im_end|>", special=True))
    head, said_end, _ = after.partition("<end>")
    row = [*tokenizer.encode(Segment(text + head)), *([end] if said_end else [])]
    row += tokenizer.encode(Segment("more"))

    def written(model, contexts, *, ends, has_ended, **options):
        upto = range(1, len(row) + 1)
        done = next((n for n in upto if has_ended(row[:n]) or row[n - 1] in ends), len(row))
        return [Continuation((*row[:done], *[*ends, 0][:1]), tuple(range(done + 1)))]

    monkeypatch.setattr("training.sampling.hf_generator.sample_continuations", written)
    generator = TransformersGenerator(tiny_model.copy_merged(), tokenizer, builder, 1.0)
    episode = Episode(TaskDescription(), Scratchpad(("x",), "1 of 1 tests fail"))
    (command,) = generator.commands({7: episode}).values()
    assert (command.text, command.ended) == (text, ended)
    assert tokenizer.decode(command.tokens) == text
    known = len(command.logprobs) - (len(command.logprobs) > len(command.tokens))
    assert list(command.tokens[:known]) == row[:known]  # each is of the token beside it
    assert command.logprobs == tuple(range(len(command.logprobs)))


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
            return {n: said(text, (1,)) for n, text in texts.items()}

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
