"""The stage RLVR: rolls out programs for the trainer, and measures its steps on held-out ones.

What a step learns is in `training.rlvr`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random
from statistics import fmean

import torch
from attrs import evolve, frozen

from training.model.base import Tokenizer
from training.model.checkpoint import load_adapter, save_adapter
from training.model.policy_model import PolicyModel
from training.pipeline.starts import read_starts, split_held_out
from training.pipeline.workspace import (
    TrainingRun,
    load_policy_model,
    open_served_generator,
    open_transformers_generator,
    serves,
)
from training.process_group import ProcessGroup
from training.rlvr import train_rlvr
from training.sampling.groups import SampledGroups, sample_informative
from training.sampling.rollouts import (
    AttemptTester,
    Generator,
    Rollout,
    make_starts,
    roll_out,
)
from training.session import Session
from training.tasks.environment import open_environments
from training.tasks.tasks import Task, TaskError
from training.trackers import tracking


def run_rlvr(run: TrainingRun) -> bool:
    """Reinforcement learning from the latest adapter."""
    config = run.config
    programs = read_starts(run)
    held_out, _ = split_held_out(run)
    if not programs:
        run.say(
            "No fresh fault is left that a greedy chain does not repair: nothing for RLVR to learn."
        )
        return True
    model, tokenizer = load_policy_model(run)
    init = run.adapter_before("rlvr")

    def report(metrics: dict[str, float]) -> None:
        track(int(metrics["step"]), metrics)
        text = (
            f"reward {metrics['reward']:+.2f}, solved {metrics['solve_rate']:.0%}, "
            f"malformed {metrics['malformed_rate']:.0%}, KL {metrics['kl']:.3f}"
        )
        if "held_out" in metrics:
            text += f", held out {metrics['held_out']:.0%}"
        run.report(text, metrics["step"], config.rlvr.steps)

    player = _Player(run, tokenizer)
    processes = ProcessGroup(config.model.device)

    def measure(policy: PolicyModel) -> float:
        mine = player.measure(policy, processes.share(held_out))
        return fmean(processes.gather(list(mine.values())) or [0.0])

    with tracking(run.trackers, run.folder, "rlvr") as track:
        done = train_rlvr(
            model,
            tokenizer,
            lambda policy, step: player.sample(policy, step, programs, processes),
            config.rlvr,
            Session(run.file("rlvr"), config.seed, init, run.minutes, config.model.device),
            report,
            evaluate=measure if held_out else None,
            random_rewards=config.random_rewards,
        )
    shutil.rmtree(_own_folder(run), ignore_errors=True)
    return done


def _own_folder(run: TrainingRun) -> Path:
    """Where this process puts what it samples with, as the others do at the same time."""
    return run.file("rlvr") / f"process-{os.environ.get('RANK', '0')}"


def measure_adapters(run: TrainingRun, programs: Sequence[Task]) -> dict[str, dict[str, float]]:
    """What the base, the SFT adapter and the last one repair, where nothing serves: 1 or 0 each."""
    model, tokenizer = load_policy_model(run)
    on_gpu = run.config.model.device == "auto" and torch.cuda.is_available()
    model.to("cuda" if on_gpu else "cpu")
    player = _Player(run, tokenizer)
    found: dict[str, dict[str, float]] = {}
    arms = {"none": None, "sft": run.file("sft") / "adapter", "new": run.last_adapter}
    for number, (arm, adapter) in enumerate(arms.items()):
        if adapter is not None:  # a new one, at first, says what the base says
            load_adapter(adapter, model)
        run.report(f"{arm}: {len(programs)} programs", number, len(arms))
        found[arm] = player.measure(model, programs)
    return found


@frozen
class _Player:
    """Rolls out programs with the model as it is."""

    run: TrainingRun
    tokenizer: Tokenizer

    def sample(
        self, model: PolicyModel, step: int, programs: Sequence[Task], processes: ProcessGroup
    ) -> SampledGroups:
        """The groups of a step, from programs drawn for it; each process rolls out some of them."""
        config = self.run.config
        each, testing = config.rlvr.num_generations, list[float]()
        order = Random(f"{config.seed}/{step}").sample(programs, len(programs))
        with self._open_generator(model, each, step, 1.0) as generator:

            def roll(some: Sequence[Task]) -> list[list[Rollout]]:
                mine = processes.share(some)
                groups, seconds = self._roll(generator, mine, each, redraws=False)
                testing.append(seconds)
                place = {task.task_id: number for number, task in enumerate(some)}
                all_groups = sorted(processes.gather(groups), key=lambda entry: place[entry[0]])
                return [group for _, group in all_groups]

            found = sample_informative(
                iter(order),
                roll,
                config.rlvr.starts,
                config.rlvr.resamples,
                by_edits=config.rlvr.edit_penalty > 0,
            )
        if not found.groups and not found.alike:
            raise TaskError(
                "All functions of this step have changed since they were harvested: undo that, "
                "or begin anew with another `out`."
            )
        return evolve(found, testing_seconds=sum(testing))

    def measure(self, model: PolicyModel, programs: Sequence[Task]) -> dict[str, float]:
        """Of each program 1 if one greedy chain repairs it, as in serving, else 0."""
        with self._open_generator(model, 1, 0, 0.0) as generator:
            groups, _ = self._roll(generator, programs, 1, redraws=True)
        return {name: float(chain.right) for name, (chain,) in groups}

    def _roll(
        self, generator: Generator, programs: Sequence[Task], each: int, *, redraws: bool
    ) -> tuple[list[tuple[str, list[Rollout]]], float]:
        """The groups by the names of their programs, and the seconds that the tests took."""
        config = self.run.config
        tester = AttemptTester(config.processes)
        with ExitStack() as stack:
            environments = open_environments(programs, self.run.sandbox, stack)
            starts = make_starts(
                environments, config.demonstrations.with_instructions, config.processes
            )
            groups = roll_out(
                generator,
                starts,
                each=each,
                max_turns=config.rlvr.max_turns,
                tester=tester,
                redraws=redraws,
            )
        names = [start.environment.task.task_id for start in starts]
        return list(zip(names, groups, strict=True)), tester.seconds

    def _open_generator(
        self, model: PolicyModel, each: int, seed: int, temperature: float
    ) -> AbstractContextManager[Generator]:
        """What rolls out; a greedy chain is held to the grammar where the serving engine writes."""
        run = self.run
        if not serves(run.config.model):
            return open_transformers_generator(
                run,
                model,
                self.tokenizer,
                temperature=temperature,
                seed=seed,
                max_tokens=run.config.rlvr.max_tokens,
            )
        adapter = _own_folder(run) / "adapter"
        save_adapter(adapter, model)
        return open_served_generator(
            run, adapter, each, temperature=temperature, constrained=not temperature, seed=seed
        )
