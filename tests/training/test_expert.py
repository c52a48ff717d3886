"""What the product's search repairs becomes demonstrations: pruned, right by hidden tests too."""

import json
import sys
from contextlib import contextmanager

import pytest
from attrs import evolve
from training_toys import toy_records

from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy, Proposal
from coe_lsp.repair.search.ranking import PassingProgram
from coe_lsp.repair.target.source import Function, SourceFile
from training.model.checkpoint import save_adapter
from training.pipeline.config import RunConfig
from training.pipeline.expert import run_expert
from training.pipeline.workspace import TrainingRun
from training.sampling.expert import _choose, search_repairs
from training.sampling.rollouts import make_start
from training.tasks.environment import TaskEnvironment
from training.tasks.records import read_records, write_records
from training.tasks.tasks import Place, Task, save_tasks

CLAMP = Task(
    task_id="toy/clamp",
    reference="def clamp(x, low, high):\n    if x < low:\n        return low\n    if x > high:\n"
    "        return high\n    return x",
    code="def clamp(x, low, high):\n    if x < low:\n        return high\n    if x > high:\n"
    "        return high\n    return x",
    tests=(
        "assert clamp(1, 2, 3) == 2",
        "assert clamp(9, 2, 3) == 3",
        "assert clamp(0, 1, 5) == 1",
        "assert clamp(4, 1, 5) == 4",
    ),
    entry_point="clamp",
)
SETTINGS = {"seconds": 8.0, "max_turns": 4, "blocks": True, "with_instructions": 0.0, "threads": 1}


@contextmanager
def no_policy():
    raise AssertionError("mutations repair this")
    yield


class Scripted:
    """A policy that has one command, whatever it is asked."""

    def __init__(self, text):
        self._text = text
        self._asked = []

    def read(self, start):
        return True

    def ask(self, request):
        self._asked.append(request.id)
        return True

    def step(self):
        asked, self._asked = self._asked, []
        return [Proposal(id, self._text, -1.0) for id in asked]

    def forget(self, id):
        pass

    def logprob_ratios(self, start, line, variants):
        return [0.0] * len(variants)

    def likelihoods(self, start, texts):
        return [0.0] * len(texts)

    def interrupt(self):
        pass


def scripted(text):
    @contextmanager
    def open_policy():
        policy = Scripted(text)
        yield LoadedPolicy(policy, ModelUsed("scripted", "", None), True, judge=policy)

    return open_policy


def test_what_mutations_repair_is_a_demonstration_and_no_model_is_asked(sandbox):
    (found,) = search_repairs([CLAMP], no_policy, sandbox=sandbox, **SETTINGS)
    assert found.outcome == "demonstration"
    (turn,) = found.record.episode.turns
    assert turn.passed and turn.pad.lines == tuple(CLAMP.reference.split("\n"))
    assert found.record.kinds[0] == "searched" and found.record.kinds[1] != "model"


def test_what_the_model_finds_is_one_too(sandbox, monkeypatch):
    monkeypatch.setattr("training.sampling.expert._SECONDS_WITHOUT_MODEL", 0.0)
    lines = CLAMP.reference.replace("if x < low", "if low > x").split("\n")
    text = "### REPB 2 3\n" + "\n".join(f">>>{line}" for line in lines[1:3])
    settings = SETTINGS | {"seconds": 20.0}
    broken = evolve(CLAMP, code=CLAMP.code.replace("x < low", "None < low(x)"))
    (found,) = search_repairs([broken], scripted(text), sandbox=sandbox, **settings)
    assert found.outcome == "demonstration" and found.record.kinds == ("searched", "model")
    assert found.record.episode.pad.lines[1:3] == tuple(lines[1:3])


@contextmanager
def started(task, sandbox):
    with TaskEnvironment(task, sandbox) as environment:
        yield make_start(environment, 0.0)


def repair(lines, **more):
    return PassingProgram(tuple(lines), (), "mutation", 1, **more)


def test_of_a_repair_only_the_edits_that_matter_are_shown(sandbox):
    """The first passes but spells out a test, the second has an edit that nothing needs."""
    lines = CLAMP.reference.split("\n")
    told = [lines[0], "    if x == 1: return 2", *lines[1:]]
    idle = [*lines[:3], "    if high < x:", *lines[4:]]
    with started(CLAMP, sandbox) as start:
        programs = [repair(told, special=("2",)), repair(idle)]
        found = _choose(start, programs, max_turns=4, blocks=True)
        assert [turn.command_text for turn in found.record.episode.turns] == [
            "### REPL 3 >>>        return low"
        ]
        alone = _choose(start, programs[:1], max_turns=4, blocks=True)
        assert (alone.outcome, alone.record) == ("overfits", None)


def test_a_repair_that_hidden_tests_fail_is_none(sandbox):
    one = CLAMP.code.replace("return high", "return 1", 1).split("\n")  # fits the third test alone
    with started(CLAMP, sandbox) as start:
        start.environment.hide(["assert 1"])
        found = _choose(start, [repair(one)], max_turns=4, blocks=True)
        assert found.outcome == "overfits"
        assert _choose(start, [], max_turns=4, blocks=True).outcome == "not repaired"


def test_where_no_test_is_hidden_a_repair_has_to_be_the_reference(sandbox):
    few = evolve(CLAMP, tests=CLAMP.tests[2:])
    other = CLAMP.code.replace("return high", "return abs(low)", 1).split("\n")
    right = CLAMP.reference.replace("x < low", "(x < low)").split("\n")
    with started(few, sandbox) as start:
        assert not start.environment.has_hidden
        assert _choose(start, [repair(other)], max_turns=4, blocks=True).outcome == "overfits"
        found = _choose(start, [repair(other), repair(right)], max_turns=4, blocks=True)
        assert found.outcome == "demonstration"


def test_a_search_sees_the_shown_tests_alone(sandbox, clamp_project):
    """In a project whose file is right; the faulty program is only searched."""
    path = clamp_project / "ranges.py"
    faulty = "\n".join(SourceFile.read(path).scratch_lines(Function("clamp", 1, 6)))
    head, _, tail = path.read_text().rpartition("return low")
    path.write_text(f"{head}return high{tail}")
    right = "\n".join(SourceFile.read(path).scratch_lines(Function("clamp", 1, 6)))
    place = Place(str(clamp_project), "ranges.py", "clamp", sys.executable)
    tests = [f"tests/test_ranges.py::test_{name}" for name in ("low", "high", "inside")]
    task = Task("own", right, tests, code=faulty, place=place)
    with TaskEnvironment(task, sandbox) as environment:
        environment.hide(tests[2:])
        site = environment.site(faulty.split("\n"), Deadline())
        assert set(site.baseline.results) == set(tests[:2])
        assert site.verifier.target_tests == (tests[1],)
        assert (site.target.name, site.target.first) == ("clamp", 1)
    (found,) = search_repairs([task], no_policy, sandbox=sandbox, **SETTINGS)
    assert found.record.episode.pad.lines == tuple(right.split("\n"))


@pytest.fixture
def prepared(tiny_gguf, tiny_model, tmp_path, monkeypatch):
    """A run that has SFT behind it, and two faulty programs; the model is asked from the start."""
    monkeypatch.setattr("training.sampling.expert._SECONDS_WITHOUT_MODEL", 0.0)
    config = RunConfig(str(tmp_path), processes=1, stages=("expert",), held_out=0.0)
    config = evolve(
        config,
        model=evolve(config.model, base=str(tiny_gguf), device="cpu"),
        expert=evolve(config.expert, seconds=8.0),
        sft=evolve(config.sft, batch_tokens=512, micro_tokens=512),
    )
    run = TrainingRun(config, lambda *_: None)
    save_adapter(run.file("sft") / "adapter", tiny_model)
    write_records(run.file("demonstrations.jsonl"), toy_records(4))
    save_tasks(run.file("tasks.jsonl"), [CLAMP, evolve(CLAMP, task_id="toy/other")])
    starts = [evolve(CLAMP, task_id="toy/clamp#0"), evolve(CLAMP, task_id="toy/other#0")]
    save_tasks(run.file("starts.jsonl"), starts)
    return run


def test_the_stage_goes_on_where_it_was_stopped_and_tunes(prepared, monkeypatch):
    late = evolve(prepared, deadline=0.0)
    assert not run_expert(late)
    part = prepared.file("expert.part.jsonl")
    assert part.read_text().count("\n") == 2  # settings, and one program
    searched = []
    real = search_repairs

    def counted(tasks, *given, **more):
        searched.extend(task.task_id for task in tasks)
        return real(tasks, *given, **more)

    monkeypatch.setattr("training.pipeline.expert.search_repairs", counted)
    said = []
    assert run_expert(evolve(prepared, say=said.append))
    assert searched == ["toy/other#0"]
    records = list(read_records(prepared.file("expert.jsonl")))
    assert [record.task_id for record in records] == ["toy/clamp#0", "toy/other#0"]
    summary = json.loads(prepared.file("expert.json").read_text())
    assert summary["programs"] == summary["demonstration"] == 2
    assert "2 demonstration" in said[0]
    assert prepared.last_adapter == prepared.file("expert") / "adapter"
    assert prepared.adapter_before("rlvr") == prepared.last_adapter
    assert prepared.adapter_before("expert") == prepared.file("sft") / "adapter"
    assert not part.exists()


def test_where_nothing_is_repaired_the_adapter_stays(prepared):
    nothing = evolve(CLAMP, task_id="toy/clamp#0", tests=("assert clamp(1, 2, 3) == object()",))
    save_tasks(prepared.file("starts.jsonl"), [evolve(nothing, reference="")])
    config = evolve(prepared.config, expert=evolve(prepared.config.expert, seconds=0.5))
    said = []
    assert run_expert(evolve(prepared, config=config, say=said.append))
    assert "the adapter stays" in said[-1]
    assert prepared.last_adapter == prepared.file("sft") / "adapter"
