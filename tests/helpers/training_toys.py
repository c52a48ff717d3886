"""What the tests of training share: small episodes, settings, and programs to start from."""

import math
from contextlib import contextmanager

from attrs import evolve

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import Segment, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from training.model.encode import NO_LABEL, collate
from training.model.sampled import SampledCommand
from training.sampling.rollouts import Rollout, Start
from training.settings import SftConfig
from training.tasks.environment import TaskEnvironment
from training.tasks.records import Record


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


def said(text, tokens, ended=True):
    """A command of which each token was sampled, with a half chance."""
    tokens = tuple(tokens)
    return SampledCommand(text, tokens, ended, (math.log(0.5),) * (len(tokens) + ended))


def as_sampled(example, model=None, off=0.0):
    """An example as if its labels had been sampled, by a model or each for certain.

    `off` is added to what the model says of each.
    """
    known = iter(()) if model is None else iter(score(model, collate([example]))[0].tolist())
    logprobs = [next(known, 0.0) + off if x != NO_LABEL else 0.0 for x in example.labels]
    return evolve(example, logprobs=tuple(logprobs))


def score(model, batch):
    return model(batch.ids, batch.mask, batch.labels)


def two_turns():
    episode = Episode(TaskDescription(), Scratchpad(("a", "b"), "1 of 1 tests fail"))
    episode = episode.extend(episode.attempt("### DELL 2"), "1 of 1 tests fail", False)
    return episode.extend(episode.attempt("### REPL 1 >>>c"), "", True)


def ended(*outcomes, max_turns=10):
    """An episode of turns: malformed (m), to b or d (. :), back to a (<), solving (s), exit (e)."""
    episode = Episode(TaskDescription(), Scratchpad(("a",), "fails"), max_turns=max_turns)
    lines = {".": "b", ":": "d", "<": "a", "s": "c"}
    texts = {"m": "nonsense", "e": "### EXIT"}
    texts |= {outcome: f"### REPL 1 >>>{line}" for outcome, line in lines.items()}
    for outcome in outcomes:
        episode = episode.extend(episode.attempt(texts[outcome]), "fails", outcome == "s")
    return episode


def toy_groups(tokenizer):
    """Rollouts of three programs of which each is better than another one."""
    end = tuple(tokenizer.encode(Segment("### EXIT")))
    solved, failed = tuple(said(text, end) for text in ("a", "b")), (said("a", end),)
    group = [Rollout(two_turns(), solved), Rollout(ended("m", "e"), solved)]
    other = [Rollout(ended("s"), failed), Rollout(ended("m"), failed)]
    return [group, other, [*group, *group]]


CONFIG = SftConfig(
    learning_rate=6e-3,
    epochs=4,
    batch_tokens=680,
    micro_tokens=340,
    warmup=2,
    evaluate_every=4,
    save_every=5,
)


@contextmanager
def started(task, sandbox, programs):
    with TaskEnvironment(task, sandbox) as environment:
        environment.calibrate()
        yield [Start(environment, program) for program in programs]
