"""The stage expert: searches the programs that a greedy chain leaves, and tunes on what it repairs.

Two cores can do it, for nothing is sampled but what the search asks for. How a program is searched
and what of it is kept is in `training.sampling.expert`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from coe_lsp.files import replace_file
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.loading import LoadedModel
from training.files import write_lines
from training.pipeline.pieces import resume_lines
from training.pipeline.stages import tune_beside_old
from training.pipeline.starts import read_starts
from training.pipeline.workspace import TrainingRun, find_stronger_model, open_served_weights
from training.sampling.expert import OpenPolicy, Searched, search_repairs
from training.tasks.records import read_records


def run_expert(run: TrainingRun) -> bool:
    """Search the start programs, and tune on the demonstrations that come of it."""
    config, file = run.config.expert, run.file("expert.jsonl")
    if not file.exists():
        found = _search(run)
        if found is None:
            return False
        outcomes = Counter(one.outcome for one in found)
        kinds = Counter(one.record.kinds[-1] for one in found if one.record is not None)
        summary = {"programs": len(found), **outcomes, "found_by": dict(kinds.most_common())}
        replace_file(run.file("expert.json"), json.dumps(summary, indent=1).encode())
        write_lines(file, (one.record.dumps() for one in found if one.record is not None))
        run.file("expert.part.jsonl").unlink(missing_ok=True)
        run.say(
            f"{outcomes['demonstration']} demonstrations of {len(found)} programs that a greedy "
            f"chain leaves; {outcomes['not repaired']} were not repaired, {outcomes['overfits']} "
            "only by the tests that were shown."
        )
    new = list(read_records(file))
    if not new:
        run.say("The search repaired none of them: the adapter stays as it is.")
        return True
    before = run.adapter_before("expert")
    return tune_beside_old(run, "expert", new, before, epochs=config.epochs)


def _search(run: TrainingRun) -> list[Searched] | None:
    """What came of each start program; None if the time was up."""
    config, recipe = run.config.expert, run.config.demonstrations
    programs = read_starts(run)
    if not programs:
        return []
    with _open_policies(run) as open_policy:
        lines = resume_lines(
            run,
            run.file("expert.part.jsonl"),
            programs,
            lambda some: (
                found.dumps()
                for found in search_repairs(
                    some,
                    open_policy,
                    seconds=config.seconds,
                    max_turns=config.max_turns,
                    blocks=recipe.blocks,
                    with_instructions=recipe.with_instructions,
                    sandbox=run.sandbox,
                    threads=run.config.processes,
                )
            ),
            size=1,  # a search has all cores
            say="programs searched",
        )
    return None if lines is None else [Searched.loads(line) for line in lines]


@contextmanager
def _open_policies(run: TrainingRun) -> Iterator[OpenPolicy]:
    """The weights that searches ask: the named larger model's, else those trained so far."""
    named = run.config.expert.model
    with ExitStack() as stack:
        if named is not None:
            weights, beside, adapter = find_stronger_model(named, "expert.model"), None, None
        else:
            before = run.adapter_before("expert")
            weights, beside = stack.enter_context(open_served_weights(run, before))
            adapter = before.parent.name
        used = ModelUsed(weights.name, "", adapter)
        model = LoadedModel(weights, beside, used, seed=run.config.seed)
        stack.callback(model.close)
        yield model.policy
