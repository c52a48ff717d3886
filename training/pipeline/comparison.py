"""The last word of a run: is the new adapter better than the shipped one, and than none?

Each repairs the same faulty programs of functions that were never trained on, one greedy chain
each, as served (by transformers where the base has no GGUF); a third of a function's tests is
hidden from it. Which to use is decided by how many it repairs; the p-value says how far that could
be chance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from coe_lsp.files import replace_file
from coe_lsp.models.adapters import resolve_adapter
from training.evaluation.comparison import Comparison, compare, format_p
from training.evaluation.config import EvaluationConfig
from training.model.source import find_base
from training.pipeline.starts import split_held_out
from training.pipeline.workspace import TrainingRun
from training.tasks.tasks import Task

_TURNS = 4
_CHANCE = 0.05


@frozen
class Verdict:
    """How many of `programs` each arm repairs, and which to use: `new`, `shipped`, `sft` or `none`.

    `against` compares the new adapter with its `rival`.
    """

    programs: int
    right: dict[str, int]
    use: str
    against: Comparison

    @property
    def rival(self) -> str:
        """The best of the others."""
        return _rival(self.right)

    def lines(self) -> list[str]:
        """What the user is told."""
        names = {
            "new": "the new adapter",
            "shipped": "the shipped one",
            "sft": "the one before RLVR",
            "none": "no adapter",
        }
        counts = ", ".join(f"{names[arm]} {count}" for arm, count in self.right.items())
        pair = self.against
        other = names[self.rival]
        said = [
            f"Of {self.programs} faulty programs of functions that were not trained on, "
            f"repaired: {counts}.",
            f"The new adapter against {other}: {pair.more} only by the new one, {pair.fewer} only "
            f"by the other (p = {format_p(pair.p_value)}).",
        ]
        chance = " The difference may be chance." if pair.p_value > _CHANCE else ""
        advice = "Use" if self.use == "new" else "Keep"
        return [*said, f"{advice} {names[self.use]}.{chance}"]


def _rival(right: dict[str, int]) -> str:
    return max((arm for arm in right if arm != "new"), key=lambda arm: (right[arm], arm))


def judge(results: dict[str, dict[str, float]]) -> Verdict:
    """From what each arm repaired, 1 or 0 by program. The new one has to be better to be used."""
    right = {arm: int(sum(found.values())) for arm, found in results.items()}
    rival = _rival(right)
    use = "new" if right["new"] > right[rival] else rival
    return Verdict(len(results["new"]), right, use, compare(results["new"], results[rival]))


def run_comparison(run: TrainingRun) -> bool:
    """Measure the new adapter, the shipped one, and the base; leaves `comparison.json`."""
    _, programs = split_held_out(run)
    source = find_base(run.config.model.base)
    new = run.file(f"{source.base_key}-coe-v1.gguf")
    if not programs:
        run.say("Too few functions to hold any out: the adapter was not compared.")
        return True
    if source.path is None:
        from training.pipeline.reinforcement import measure_adapters

        return _conclude(run, new, measure_adapters(run, programs))
    arms: dict[str, Path | None] = {"new": new}
    shipped = resolve_adapter(None, source.base_key)
    if shipped is not None:
        arms["shipped"] = shipped
    arms["none"] = None
    results: dict[str, dict[str, float]] = {}
    for arm, adapter in arms.items():
        found = _measure(run, arm, adapter, programs)
        if found is None:
            return False
        results[arm] = found
    return _conclude(run, new, results)


def _conclude(run: TrainingRun, new: Path, results: dict[str, dict[str, float]]) -> bool:
    from training.pipeline.card import write_card

    verdict = judge(results)
    replace_file(run.file("comparison.json"), json.dumps(asdict(verdict), indent=1).encode())
    write_card(run, new)  # once more, with the result
    return True


def read_verdict(path: Path) -> Verdict | None:
    """What `run_comparison` left, if it did."""
    if not path.exists():
        return None
    data: dict[str, Any] = json.loads(path.read_text())
    return Verdict(**{**data, "against": Comparison(**data["against"])})


def _measure(
    run: TrainingRun, arm: str, adapter: Path | None, programs: list[Task]
) -> dict[str, float] | None:
    from training.evaluation.evaluate import evaluate

    source = find_base(run.config.model.base)
    assert source.path is not None
    folder = run.file("comparison")
    folder.mkdir(exist_ok=True)
    config = EvaluationConfig(
        policy="base" if adapter is None else "coe",
        samples=0,
        max_turns=_TURNS,
        seed=run.config.seed,
        threads=run.config.processes,
    )
    found = evaluate(
        programs,
        source.path,
        adapter,
        config,
        folder / f"{arm}.json",
        sandbox=run.sandbox,
        merge=source.merges,
        deadline=run.deadline,
        progress=lambda done, total, solved: run.report(f"{arm}: {solved} repaired", done, total),
    )
    if found is None:
        return None
    return {row["task_id"]: float(row["greedy"]["hidden"]) for row in found["results"]}
