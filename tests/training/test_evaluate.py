"""Metrics by hand, the evaluation's determinism and resume, tables and plots, and s1K's traces."""

import json

import pytest
from attrs import evolve

from coe_lsp.engine.engine import Engine
from coe_lsp.models.merged import merged_path
from training.__main__ import main
from training.evaluation.config import EvaluationConfig
from training.evaluation.evaluate import (
    EvaluationError,
    Sample,
    TaskResult,
    evaluate,
    summarise,
)
from training.evaluation.metrics import bootstrap, pass_at_k
from training.evaluation.report import ReportError, read_results, table, write_report
from training.evaluation.s1k import encode_traces, load_traces
from training.model.encode import NO_LABEL
from training.sampling.direct_prompt import extract_program
from training.sampling.whole_programs import Answer, LlamaWriter
from training.tasks.tasks import TaskError, load_tasks, save_tasks


def test_pass_at_k():
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_at_k(3, 0, 3) == 0.0
    with pytest.raises(ValueError, match="at least 4"):
        pass_at_k(3, 1, 4)


def test_bootstrap_holds_the_mean():
    values = [1.0] * 30 + [0.0] * 70
    interval = bootstrap(values)
    assert interval.low < interval.mean < interval.high
    # The standard error of a rate of 0.3 over 100 tasks is 0.046.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.046, rel=0.2)
    assert bootstrap(values) == interval
    assert bootstrap([1.0] * 9).low == 1.0


def test_summary_by_hand():
    def sample(solved, turns=1, malformed=0, hidden=None):
        return Sample(solved, solved if hidden is None else hidden, turns, 10 * turns, malformed)

    results = [
        TaskResult("a", sample(True), (sample(True, 2), sample(False, 4, 1)), 6.0),
        TaskResult("b", sample(False, 3), (sample(True, 1, 0, False), sample(True, 3)), 12.0),
    ]
    made = summarise(results, EvaluationConfig("coe", samples=2, max_turns=4, visible=1))
    assert made["pass@1 greedy"]["mean"] == 0.5
    assert made["pass@1"]["mean"] == 0.5
    assert made["curve"] == [0.5, 1.0]
    assert "pass@4" not in made
    assert made["turns"] == pytest.approx(14 / 6)
    assert made["tokens"] == pytest.approx(140 / 6)
    assert made["malformed"] == pytest.approx(1 / 14)
    assert made["seconds"] == pytest.approx(3.0)  # a chain
    assert made["solved_by_turn"] == [0.0, 0.25, 0.5, 0.5]
    assert made["visible only"]["mean"] == 0.25
    assert made["overfits"] == 1
    assert "| 1 |" in table({"x": {**made, "config": {}}}).split("\n")[2]


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("Here:\n```python\nx = 1\n```\nDone", "x = 1"),
        ("```\na\n```\nno:\n```py\nb\nc\n```", "b\nc"),
        ("```python\ncut off", "cut off"),
        ("x = 2\n", "x = 2"),
    ],
)
def test_the_program_in_an_answer(answer, program):
    assert extract_program(answer) == program


@pytest.fixture
def faulty(task):
    code = task.reference.replace(">", "<")
    return [
        evolve(task, task_id=f"t/{n}", code=code, tests=(*task.tests, f"assert {n} >= 0"))
        for n in range(3)
    ]


@pytest.mark.parametrize("policy", ["coe", "base", "direct"])
def test_an_evaluation_resumes_to_the_same_file(
    policy, faulty, tiny_gguf, tiny_adapter, sandbox, tmp_path
):
    adapter = tiny_adapter if policy == "coe" else None
    config = EvaluationConfig(
        policy, samples=1, max_turns=2, chains=2, answer_tokens=24, visible=1, seed=5
    )
    whole = evaluate(faulty, tiny_gguf, adapter, config, tmp_path / "whole.json", sandbox=sandbox)
    assert whole["summary"]["tasks"] == 3

    def killed(done, total, solved):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            faulty,
            tiny_gguf,
            adapter,
            config,
            tmp_path / "a.json",
            sandbox=sandbox,
            progress=killed,
        )
    part = tmp_path / "a.json.part"
    assert len(part.read_text().split("\n")) == 3  # the header and the first task, whole
    part.write_text(part.read_text() + '{"task_id": "t/1", "gre')  # killed while writing
    seen = []
    again = evaluate(
        faulty,
        tiny_gguf,
        adapter,
        config,
        tmp_path / "a.json",
        sandbox=sandbox,
        progress=lambda done, total, solved: seen.append(done),
    )
    assert seen == [2, 3]
    for one, other in zip(whole["results"], again["results"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert not part.exists()


def test_what_is_measured_is_the_merged_model_that_is_served(
    faulty, tiny_gguf, tiny_adapter, sandbox, tmp_path, monkeypatch
):
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path))
    loaded = []

    class Spy(Engine):
        def __init__(self, path, *, adapter, **rest):
            loaded.append((path, adapter))
            super().__init__(path, adapter=adapter, **rest)

    monkeypatch.setattr("training.evaluation.evaluate.Engine", Spy)
    config = EvaluationConfig("coe", samples=0, max_turns=1)
    out = tmp_path / "x.json"
    made = evaluate(faulty[:1], tiny_gguf, tiny_adapter, config, out, sandbox=sandbox, merge=True)
    assert made["merged"]
    assert loaded == [(merged_path(tiny_gguf, tiny_adapter), None)]


@pytest.mark.parametrize(("policy", "shots"), [("base", 0), ("direct", 3)])
def test_what_tasks_and_samples_share_is_read_once(
    policy, shots, faulty, tiny_gguf, sandbox, tmp_path, monkeypatch
):
    """Rules, worked examples and the task: read once, whatever the number of samples."""
    engines = []

    class Spy(Engine):
        def __init__(self, *path, **rest):
            super().__init__(*path, **rest)
            engines.append(self)

    monkeypatch.setattr("training.evaluation.evaluate.Engine", Spy)
    for tasks, samples in ((faulty[:1], 0), (faulty[:1], 12), (faulty, 12)):
        config = EvaluationConfig(
            policy, shots=shots, samples=samples, max_turns=1, answer_tokens=8, chains=2
        )
        out = tmp_path / f"{len(engines)}.json"
        evaluate(tasks, tiny_gguf, None, config, out, sandbox=sandbox)
    alone, drawn, more = (engine.stats.decoded for engine in engines)
    assert drawn < 1.6 * alone and more < drawn + alone


def test_repairs_that_pass_the_visible_tests_alone_do_not_count(
    task, tiny_gguf, sandbox, tmp_path, monkeypatch
):
    """The greedy answer spells out what the visible test expects, the drawn one is right."""
    cheat = "def above(values, limit):\n    return 1"

    def answers(writer, questions, each, sampling):
        text = task.reference if sampling.temperature else cheat
        return [[Answer(f"```python\n{text}\n```", 9)] * each]

    monkeypatch.setattr(LlamaWriter, "answers", answers)
    code = task.reference.replace(">", "<")
    config = EvaluationConfig("direct", samples=1, visible=1)
    made = evaluate(
        [evolve(task, code=code)], tiny_gguf, None, config, tmp_path / "x.json", sandbox=sandbox
    )
    (result,) = made["results"]
    assert (result["greedy"]["solved"], result["greedy"]["hidden"]) == (True, False)
    assert (result["drawn"][0]["solved"], result["drawn"][0]["hidden"]) == (True, True)
    found = made["summary"]
    assert (found["pass@1 greedy"]["mean"], found["pass@1"]["mean"]) == (0.0, 1.0)
    assert found["visible only"]["mean"] == 0.5


def test_functions_of_a_project_are_made_faulty_and_measured(
    clamp_project, tiny_gguf, tmp_path, capsys
):
    """The same faults for the same seed; a third of the tests of each is hidden."""
    (clamp_project / "ranges.py").write_text(
        (clamp_project / "ranges.py")
        .read_text()
        .replace("return low\n    return", "return high\n    return")
    )
    tasks = tmp_path / "tasks.jsonl"
    assert main(["tasks", "--project", str(clamp_project), "--out", str(tasks)]) == 0
    correct = load_tasks(str(tasks))
    assert all(task.place and task.code is None for task in correct)
    command = ["evaluate", "--tasks", str(tasks), "--model", str(tiny_gguf), "--policy", "base"]
    command += ["--samples", "0", "--turns", "1", "--first", "1"]
    for name in ("one", "two"):
        assert main([*command, "--out", str(tmp_path / f"{name}.json")]) == 0
    assert "| one | 1 |" in capsys.readouterr().out
    one, two = ((tmp_path / f"{name}.json.starts.jsonl").read_text() for name in ("one", "two"))
    assert one == two and len(one.splitlines()) == 1
    (result,) = json.loads((tmp_path / "one.json").read_text())["results"]
    assert result["task_id"].startswith(correct[0].task_id + "#")


def test_what_cannot_be_measured_is_said_first(task, faulty, tiny_gguf, sandbox, tmp_path):
    out = tmp_path / "x.json"
    with pytest.raises(TaskError, match="toy/above has no faulty program"):
        evaluate([task], tiny_gguf, None, EvaluationConfig("base"), out, sandbox=sandbox)
    with pytest.raises(EvaluationError, match="coe needs an adapter"):
        evaluate(faulty, tiny_gguf, None, EvaluationConfig("coe"), out, sandbox=sandbox)
    with pytest.raises(EvaluationError, match="base is the model without"):
        evaluate(faulty, tiny_gguf, out, EvaluationConfig("base"), out, sandbox=sandbox)
    assert not list(tmp_path.iterdir())


def test_what_was_measured_is_neither_repeated_nor_overwritten(
    faulty, tiny_gguf, sandbox, tmp_path, monkeypatch
):
    out, config = tmp_path / "x.json", EvaluationConfig("base", samples=0, max_turns=1)
    made = evaluate(faulty[:1], tiny_gguf, None, config, out, sandbox=sandbox)
    before = out.read_bytes()
    monkeypatch.setattr(
        "training.evaluation.evaluate.Engine", None
    )  # nothing is loaded from here on
    again = evaluate(faulty[:1], tiny_gguf, None, config, out, sandbox=sandbox)
    assert again == json.loads(before)
    other = evolve(config, seed=1)
    with pytest.raises(EvaluationError, match=r"other settings \(seed\): give another --out"):
        evaluate(faulty[:1], tiny_gguf, None, other, out, sandbox=sandbox)
    assert out.read_bytes() == before
    part = out.with_name("x.json.part")
    out.rename(part)
    part.write_text(json.dumps(made | {"results": None}) + "\n")
    with pytest.raises(EvaluationError, match=r"x.json.part holds .*\(tasks, seed\)"):
        evaluate(faulty[:2], tiny_gguf, None, other, out, sandbox=sandbox)
    assert part.exists()
    out.write_text("[]")
    with pytest.raises(EvaluationError, match="is no evaluation"):
        evaluate(faulty[:1], tiny_gguf, None, config, out, sandbox=sandbox)


def test_a_reference_that_fails_its_tests_is_said_first(faulty, tiny_gguf, sandbox, tmp_path):
    wrong = evolve(faulty[1], reference=faulty[1].reference.replace("+= 1", "+= 2"))
    config = EvaluationConfig("base", samples=0, max_turns=1)
    with pytest.raises(EvaluationError, match=f"The reference of {wrong.task_id} fails"):
        evaluate([faulty[0], wrong], tiny_gguf, None, config, tmp_path / "x.json", sandbox=sandbox)


def test_command_line_table_and_plots(faulty, tiny_gguf, tmp_path, capsys):
    save_tasks(tmp_path / "tasks.jsonl", faulty)
    arguments = ["evaluate", "--tasks", str(tmp_path / "tasks.jsonl"), "--model", str(tiny_gguf)]
    options = ["--policy", "base", "--samples", "1", "--turns", "1", "--first", "2"]
    assert main([*arguments, *options, "--out", str(tmp_path / "one.json")]) == 0
    assert "| one | 2 |" in capsys.readouterr().out
    out = tmp_path / "report"
    assert main(["report", str(tmp_path / "one.json"), "--out", str(out)]) == 0
    results = read_results([tmp_path / "one.json"])
    assert (out / "table.md").read_text() == table(results)
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    assert main(["report", "--metrics", str(log), "--out", str(out)]) == 0
    plots = sorted(out.glob("*.png"))
    assert [plot.stem.partition("-")[0] for plot in plots] == ["learning", "pass_at_k", "turns"]
    for plot in plots:
        assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ReportError, match="not a finished evaluation"):
        read_results([log])
    with pytest.raises(ReportError, match=r"not the metrics\.jsonl"):
        write_report([], out, [out / "table.md"])
    wrong = ["--policy", "coe", "--adapter", str(log), "--out", str(tmp_path / "two.json")]
    assert main([*arguments, *options, *wrong]) == 2
    assert "adapter" in capsys.readouterr().err


def test_what_a_model_writes_wrong_becomes_tasks(faulty, tiny_gguf, tmp_path, monkeypatch):
    """Two layers of a model write nothing that works. What a kill leaves is not written again."""
    save_tasks(tmp_path / "tasks.jsonl", faulty)
    out = tmp_path / "faulty.jsonl"
    command = ["faulty", "--tasks", str(tmp_path / "tasks.jsonl"), "--model", str(tiny_gguf)]
    command += ["--each", "1", "--count", "2", "--out", str(out)]
    asked, answers = [], LlamaWriter.answers

    def stopped_at_the_second(writer, questions, each, sampling):
        (question,) = questions
        asked.append("".join(segment.text for segment in question.segments))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answers(writer, questions, each, sampling)

    monkeypatch.setattr(LlamaWriter, "answers", stopped_at_the_second)
    assert main(command) == 130
    assert not out.exists()
    assert main(command) == 0
    assert asked[2] == asked[1] != asked[0] and len(asked) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(out.name)] == [
        out.name
    ]
    made = load_tasks(str(out))
    assert len(made) == 2
    for one in made:
        assert one.code and one.code != one.reference
        assert one.task_id.partition("#")[0] in {task.task_id for task in faulty}


def test_s1k_learns_thought_and_answer(tiny_tokenizer, tmp_path):
    path = tmp_path / "s1k.jsonl"
    row = {"question": "2 + 2?", "thinking_trajectories": ["Two and two."], "attempt": "4"}
    path.write_text(json.dumps(row) + "\n")
    (example,) = encode_traces(load_traces(str(path)), tiny_tokenizer, max_tokens=200)
    learned = [label for label in example.labels if label != NO_LABEL]
    assert tiny_tokenizer.decode(learned[:-1]) == "Two and two.\n\nAnswer:\n4"
    asked = [t for t, x in zip(example.ids, example.labels, strict=True) if x == NO_LABEL]
    assert "2 + 2?" in tiny_tokenizer.decode(asked)
    (cut,) = encode_traces([row], tiny_tokenizer, max_tokens=len(example.ids) - 2)
    learned = [label for label in cut.labels if label != NO_LABEL]
    assert tiny_tokenizer.decode(learned[:-1]) == "Two and\n\nAnswer:\n4"
    assert encode_traces([row], tiny_tokenizer, max_tokens=len(asked) + 2) == []
    path.write_text('{"question": "x"}\n')
    with pytest.raises(TaskError, match="without question and thinking"):
        load_traces(str(path))


def test_s1k_is_trained_by_one_command_and_evaluated(faulty, tiny_gguf, tmp_path, capsys):
    save_tasks(tmp_path / "tasks.jsonl", faulty)
    traces = tmp_path / "s1k.jsonl"
    row = {"question": "2 + 2?", "thinking_trajectories": ["Two and two."], "attempt": "4"}
    traces.write_text("".join(json.dumps(row | {"question": f"{n}?"}) + "\n" for n in range(4)))
    config = tmp_path / "config.toml"
    config.write_text(
        f'out = "unused"\n[model]\nbase = "{tiny_gguf}"\ndevice = "cpu"\n[sft]\nbatch_tokens = 64\n'
    )
    out = tmp_path / "s1k"
    command = ["s1k", "--traces", str(traces), "--config", str(config), "--out", str(out)]
    assert main(command) == 0
    (adapter,) = out.glob("*.gguf")
    steps = (out / "sft" / "metrics.jsonl").read_text().split("\n")[:-1]
    assert json.loads(steps[-1])["step"] == len(steps) > 0
    assert main([*command, "--traces", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
    options = ["--adapter", str(adapter), "--policy", "s1k", "--samples", "0", "--first", "1"]
    where = ["--tasks", str(tmp_path / "tasks.jsonl"), "--out", str(tmp_path / "s1k.json")]
    assert main(["evaluate", "--model", str(tiny_gguf), *where, *options]) == 0
    assert "| s1k | 1 |" in capsys.readouterr().out
