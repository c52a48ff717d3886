"""The stage RLVR: rolls out programs for the trainer, and measures its steps on held-out ones.

What a step learns is in `training.rlvr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from random import Random

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
    measure = (lambda policy: _share(player.measure(policy, held_out))) if held_out else None
    with tracking(run.trackers, run.folder, "rlvr") as track:
        return train_rlvr(
            model,
            tokenizer,
            lambda policy, step: player.sample(policy, step, programs),
            config.rlvr,
            Session(run.file("rlvr"), config.seed, init, run.minutes, config.model.device),
            report,
            evaluate=measure,
            random_rewards=config.random_rewards,
        )


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


def _share(repaired: dict[str, float]) -> float:
    return sum(repaired.values()) / max(1, len(repaired))


@frozen
class _Player:
    """Rolls out programs with the model as it is."""

    run: TrainingRun
    tokenizer: Tokenizer

    def sample(self, model: PolicyModel, step: int, programs: Sequence[Task]) -> SampledGroups:
        """The groups of a step, from programs drawn for it."""
        config = self.run.config
        each, testing = config.rlvr.num_generations, list[float]()
        order = Random(f"{config.seed}/{step}").sample(programs, len(programs))
        with self._open_generator(model, each, step, 1.0) as generator:

            def roll(some: Sequence[Task]) -> list[list[Rollout]]:
                groups, seconds = self._roll(generator, some, each, redraws=False)
                testing.append(seconds)
                return [group for _, group in groups]

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
        adapter = run.file("rlvr") / "current"
        save_adapter(adapter, model)
        return open_served_generator(
            run, adapter, each, temperature=temperature, constrained=not temperature, seed=seed
        )
