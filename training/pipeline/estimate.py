"""How long a run will take, said before it begins: from a short probe of this machine.

A few functions are tested and shown as a chain of two turns, and the model learns one batch of
these twice. What is sampled is taken to cost as much as learning it: about right where the serving
engine samples, too little on a GPU. Nothing of the probe is kept but the numbers.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

from attrs import asdict, frozen

from coe_lsp.chain.commands import ReplaceLine
from coe_lsp.chain.episode import Episode
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.files import replace_file
from training.pipeline.config import RunConfig
from training.pipeline.held_out import choose_held_out
from training.pipeline.workspace import TrainingRun, load_policy_model
from training.tasks.environment import TaskEnvironment, open_environments
from training.tasks.tasks import Task, load_tasks

_PROBED = 6
# Corruptions are tried until tests fail, and every turn is tested.
_TESTS_A_DEMONSTRATION = 4
_COMPARED = 3


@frozen
class Probe:
    """What was measured: tokens of a chain of two turns, seconds of a test run, learning speed."""

    chain_tokens: float
    test_seconds: float
    tokens_per_second: float


@frozen
class Estimate:
    """Counts are upper bounds, minutes are guesses."""

    functions: int
    demonstrations: int
    tokens: int
    chains: int
    demonstrations_minutes: float
    sft_minutes: float
    sampling_minutes: float
    search_minutes: float

    def __str__(self) -> str:
        minutes = self.demonstrations_minutes + self.sft_minutes + self.sampling_minutes
        minutes += self.search_minutes
        searched = (
            f", searches of up to {self.search_minutes:.0f} min" if self.search_minutes else ""
        )
        total = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.0f} minutes"
        return (
            f"About {total} for {self.functions} functions: up to {self.demonstrations} "
            f"demonstrations ({self.demonstrations_minutes:.0f} min), SFT on up to "
            f"{self.tokens:,} tokens ({self.sft_minutes:.0f} min), up to {self.chains} chains "
            f"({self.sampling_minutes:.0f} min){searched}. Less with tasks.most, "
            "demonstrations.per_task, sft.most_tokens or starts.tasks."
        )


def run_estimate(run: TrainingRun) -> bool:
    """Probe, say how long it will take, and leave `estimate.json`."""
    tasks = load_tasks(str(run.file("tasks.jsonl")))
    held = choose_held_out(tasks, run.config.held_out, run.config.seed)
    measured = probe(run, tasks)
    if measured is None:
        run.say("How long this will take is not known: none of the functions tried passes.")
        return True
    found = estimate(run.config, len(tasks), len(held), measured)
    run.say(str(found))
    data = {**asdict(measured), **asdict(found)}
    replace_file(run.file("estimate.json"), json.dumps(data, indent=1).encode())
    return True


def estimate(config: RunConfig, functions: int, held_out: int, measured: Probe) -> Estimate:
    """What a run of these settings takes on that many functions, some of them held out."""
    demonstrations = functions * config.demonstrations.per_task
    trained = (functions - held_out) * config.demonstrations.per_task
    tokens = trained * measured.chain_tokens * config.sft.epochs
    if config.sft.most_tokens is not None:
        tokens = min(tokens, config.sft.most_tokens)
    chains = _count_chains(config, functions - held_out, held_out)
    tested = demonstrations * _TESTS_A_DEMONSTRATION * measured.test_seconds
    return Estimate(
        functions,
        demonstrations,
        round(tokens),
        chains,
        tested / config.processes / 60,
        tokens / measured.tokens_per_second / 60,
        chains * measured.chain_tokens / measured.tokens_per_second / 60,
        _count_starts(config, functions - held_out) * config.expert.seconds / 60
        if "expert" in config.stages
        else 0.0,
    )


def _count_starts(config: RunConfig, trained: int) -> int:
    """Faulty programs to start from, before those are left out that a greedy chain repairs."""
    starts = config.starts
    return min(trained, starts.tasks) * min(starts.most, starts.corrupted + 2 * starts.written)


def _count_chains(config: RunConfig, trained: int, held_out: int) -> int:
    """Chains of all stages: starts tried, rejection sampling, RLVR, and the comparison."""
    compared = config.starts.held_out if held_out else 0
    chains = _COMPARED * compared
    starts = _count_starts(config, trained)
    if config.stages:
        chains += starts * (2 if config.starts.written else 1)
    if "rejection" in config.stages:
        chains += starts * config.rejection.each
    if "rlvr" in config.stages:
        a_step = config.rlvr.starts * config.rlvr.num_generations * (1 + config.rlvr.resamples)
        evaluations = 1 + config.rlvr.steps // config.rlvr.evaluate_every
        chains += config.rlvr.steps * a_step + evaluations * compared
    return chains


def probe(run: TrainingRun, tasks: Sequence[Task]) -> Probe | None:
    """Measure; None if no function that was tried passes its tests."""
    import torch

    from training.model.encode import collate, encode

    seconds: list[float] = []
    episodes: list[Episode] = []
    with ExitStack() as stack:
        for environment in open_environments(tasks[:_PROBED], run.sandbox, stack):
            if environment.calibrate():
                began = time.monotonic()
                episodes.append(_chain(environment))
                seconds.append(time.monotonic() - began)
    if not episodes:
        return None
    model, tokenizer = load_policy_model(run)
    builder = tokenizer.builder(instructed=False)
    examples = [encode(episode, tokenizer, builder) for episode in episodes]
    on_gpu = run.config.model.device == "auto" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    model.to(device)
    count = max(1, run.config.sft.micro_tokens // max(len(e.ids) for e in examples))
    some = (examples * count)[:count]
    batch = collate(some)
    spent = 0.0
    for _ in range(2):  # the first one warms up
        began = time.monotonic()
        logprobs, _, _ = model(batch.ids.to(device), batch.mask.to(device), batch.labels.to(device))
        (-logprobs.mean()).backward()
        if on_gpu:
            torch.cuda.synchronize()
        spent = time.monotonic() - began
    return Probe(
        statistics.fmean(len(example.ids) for example in examples),
        statistics.fmean(seconds),
        sum(len(example.ids) for example in some) / spent,
    )


def _chain(environment: TaskEnvironment) -> Episode:
    """The reference without its last line, and two turns that do not mend it."""
    lines = tuple(environment.task.reference.split("\n"))
    indent = lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())]
    broken = (*lines[:-1], f"{indent}raise NotImplementedError")
    found = environment.evaluate(broken)
    feedback = environment.feedback(found, broken)
    task = environment.describe(found, broken, instructions=environment.task.prompt)
    episode = Episode(task, Scratchpad(broken, feedback))
    for line in (len(lines), 1):
        attempt = episode.apply(ReplaceLine(line, lines[line - 1]))
        episode = episode.extend(attempt, feedback, False)
    return episode
