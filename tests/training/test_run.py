"""The whole pipeline as one command: bad settings are refused first, and a kill loses nothing."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from attrs import evolve
from filelock import FileLock
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.__main__ import main
from training.files import read_whole_lines, resume_work
from training.pipeline import stages
from training.pipeline.config import ConfigError, read_config
from training.pipeline.progress import show_bars
from training.tasks.tasks import Task, save_tasks

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "training" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_our_configurations_can_be_read(path):
    assert read_config(path).out.startswith("runs/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out = 3", r"expected str, got 3.*config.out"),
        ('out = "x"\nepochs = 2', r"extra fields.*epochs"),
        ('out = "x"\n[sft]\nlearning_rate = "high"', r"expected float, got 'high'.*sft.learning"),
        ('out = "x"\n[sft]\nsave_every = true', r"expected int, got True"),
        ('out = "x"\nstages = ["ppo"]', r"ppo.*stages"),
        ('out = "x"\n[tasks]\nfiles = "mbpp"', r"expected a list, got 'mbpp'.*config.tasks.files"),
        ('out = "x"\n[sft]\nbatch_tokens = 0', r"'batch_tokens' must be > 0: 0"),
        ('out = "x"\n[rlvr]\ngroup = 4', r"extra fields.*group.*config.rlvr"),
        ('out = "x"\n[rlvr]\nsteps = -1', r"'steps' must be >= 0: -1"),
        ("seed = 1", "required field missing.*config.out"),
        ("out =", "is not TOML"),
    ],
)
def test_wrong_settings_are_named(text, message, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml")


MEASURED = Task(
    task_id="toy/double",
    reference="def double(x):\n    return 2 * x",
    code="def double(x):\n    return 3 * x",
    tests=("assert double(2) == 4",),
)


def settings(path, project, base, out, **more):
    measured = path.with_name("measured.jsonl")
    save_tasks(measured, [MEASURED])
    path.write_text(
        f"""
out = "{out}"
max_tokens = 512
stages = ["rejection", "rlvr"]
{more.get("top", "")}
[model]
base = "{base}"
device = "cpu"
[tasks]
project = "{project}"
python = "{sys.executable}"
[demonstrations]
per_task = 8
[sft]
batch_tokens = 512
micro_tokens = 512
save_every = 1
epochs = {more.get("epochs", 1)}
[starts]
corrupted = 4
written = 1
[rejection]
each = 2
keep = 1
[rlvr]
steps = 3
num_generations = 2
starts = 2
max_turns = 2
save_every = 1
[evaluation]
files = ["{measured}"]
samples = 1
"""
    )
    return path


def test_a_base_without_a_gguf_is_trained_by_transformers_alone(
    task, tiny_native, tiny_gguf, tmp_path, capsys, monkeypatch
):
    """All stages on a model of the hub; a stronger one writes what rejection sampling keeps."""
    asked = []
    real = stages.open_stronger_generator
    monkeypatch.setattr(
        stages, "open_stronger_generator", lambda *given: asked.append(given[1]) or real(*given)
    )
    save_tasks(tmp_path / "tasks.jsonl", [task])
    path = settings(tmp_path / "x.toml", tmp_path, tiny_native, tmp_path / "out", top="")
    text = path.read_text().partition("[evaluation]")[0].replace("steps = 3", "steps = 1")
    text = text.replace(f'project = "{tmp_path}"', f'files = ["{tmp_path}/tasks.jsonl"]')
    text = text.replace("[rejection]", f'[rejection]\nmodel = "{tiny_gguf}"')
    path.write_text(text.replace("max_tokens = 512", "max_tokens = 768", 1))
    assert main(["run", "--config", str(path), "--tracker", "tensorboard"]) == 0
    out = tmp_path / "out"
    for stage in ("sft", "rejection", "rlvr"):
        shown = EventAccumulator(str(out / "tensorboard" / stage)).Reload()
        logged = [json.loads(line) for line in read_whole_lines(out / stage / "metrics.jsonl")]
        for entry, event in zip(logged, shown.Scalars(f"{stage}/loss"), strict=True):
            assert (event.step, event.value) == (entry["step"], pytest.approx(entry["loss"]))
    _, (written,) = read_json_lines(out / "starts.written.jsonl")
    assert json.loads(written)["code"] != task.reference
    assert len(read_json_lines(out / "starts.left.jsonl")) > 1
    assert asked == [str(tiny_gguf)]
    assert (out / "rlvr" / "adapter").is_dir()
    assert (out / "tiny-native-coe-v1.gguf").exists()
    said = " ".join(capsys.readouterr().out.split())
    assert "convert_hf_to_gguf.py" in said
    assert "coe-lsp repair --model BASE.gguf --adapter" in said


def test_a_tracker_that_is_not_installed_is_said_at_once(
    bad_project, tiny_gguf, tmp_path, capsys, monkeypatch
):
    path = settings(tmp_path / "x.toml", bad_project, tiny_gguf, tmp_path / "out")
    monkeypatch.setattr("training.trackers.find_spec", lambda name: None)
    assert main(["run", "--config", str(path), "--tracker", "trackio"]) == 2
    assert "trackio is not installed: pip install trackio" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rejection_tunes_even_where_sft_is_left_out(
    task, tiny_gguf, tiny_adapter, tmp_path, capsys
):
    """And programs made from a task that is held out stay so, whatever is in its name."""
    tasks = [
        evolve(task, task_id=name, reference=task.reference.replace("total", name[-1]))
        for name in ("x#1/a", "x#1/b", "x#1/c", "x#1/d")
    ]
    save_tasks(tmp_path / "tasks.jsonl", tasks)
    path = settings(tmp_path / "x.toml", tmp_path, tiny_gguf, tmp_path / "out", epochs=0.0)
    text = path.read_text().partition("[evaluation]")[0].replace(', "rlvr"]', "]\nheld_out = 0.5")
    text = text.replace(f'project = "{tmp_path}"', f'files = ["{tmp_path}/tasks.jsonl"]')
    text = text.replace("per_task = 8", "per_task = 1").replace("written = 1", "written = 0")
    path.write_text(text.replace("[model]", f'[model]\nadapter = "{tiny_adapter}"'))
    assert main(["run", "--config", str(path)]) == 0
    out = tmp_path / "out"
    assert (out / "sft" / "metrics.jsonl").read_text() == ""
    assert (out / "rejection" / "metrics.jsonl").read_text().count("\n") > 0
    for stage in ("sft", "rejection"):
        counts = json.loads((out / stage / "examples.json").read_text())
        assert counts["held_out"] > 0 and counts["examples"] > 0
    with FileLock(out / "run.lock"):
        assert main(["run", "--config", str(path)]) == 2
    assert "Another process is at work" in capsys.readouterr().err


def test_a_repository_does_not_say_how_to_sample(tiny_native):
    from training.model.base import load_model
    from training.model.source import find_base

    path = tiny_native / "generation_config.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | {"repetition_penalty": 5.0}))
    try:
        model = load_model(find_base(str(tiny_native)), dtype=torch.float32)
    finally:
        path.write_text(before)
    assert model.generation_config.repetition_penalty in (None, 1.0)


def test_what_rejection_cannot_use_is_refused_at_once(tiny_native, tiny_gguf, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", tmp_path, tiny_gguf, tmp_path / "out")
    text = path.read_text().replace("[rejection]", f'[rejection]\nmodel = "{tiny_native}"')
    path.write_text(text)
    assert main(["run", "--config", str(path)]) == 2
    assert "rejection.model needs a GGUF" in " ".join(capsys.readouterr().err.split())
    path.write_text(text.replace('["rejection", "rlvr"]', '["rlvr"]'))
    assert main(["run", "--config", str(path)]) == 2
    assert "stages has no rejection" in " ".join(capsys.readouterr().err.split())


def test_what_the_expert_cannot_use_is_refused_at_once(tiny_native, tiny_gguf, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", tmp_path, tiny_native, tmp_path / "out")
    text = path.read_text().partition("[evaluation]")[0]
    text = text.replace('["rejection", "rlvr"]', '["expert"]')
    path.write_text(text)
    assert main(["run", "--config", str(path)]) == 2
    assert "name one with a GGUF as expert.model" in " ".join(capsys.readouterr().err.split())
    path.write_text(f'{text}\n[expert]\nmodel = "{tiny_native}"')
    assert main(["run", "--config", str(path)]) == 2
    assert "expert.model needs a GGUF" in " ".join(capsys.readouterr().err.split())


def test_evaluation_of_a_base_without_a_gguf_is_refused_at_once(tiny_native, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", tmp_path, tiny_native, tmp_path / "out")
    assert main(["run", "--config", str(path)]) == 2
    assert "leave evaluation.files out" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def bad_project(write, tmp_path):
    write("pyproject.toml", "")
    write("module.py", "def f(): return 1\n")
    return tmp_path


def test_a_project_without_tests_is_refused_at_once(bad_project, tiny_gguf, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", bad_project, tiny_gguf, tmp_path / "out")
    assert main(["run", "--config", str(path)]) == 2
    assert "no tests" in capsys.readouterr().err.lower()


def test_a_base_that_is_not_there_is_refused_at_once(bad_project, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", bad_project, tmp_path / "none.gguf", tmp_path / "out")
    assert main(["run", "--config", str(path)]) == 2
    assert "none.gguf" in capsys.readouterr().err


def test_an_adapter_to_go_on_from_is_checked_at_once(bad_project, tiny_gguf, tmp_path, capsys):
    text = settings(tmp_path / "x.toml", bad_project, tiny_gguf, tmp_path / "out").read_text()
    path = tmp_path / "y.toml"
    for value, said in (("shipped", "no adapter to go on from"), ("none.gguf", "no adapter file")):
        path.write_text(text.replace("[model]", f'[model]\nadapter = "{value}"'))
        assert main(["run", "--config", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_other_settings_in_the_same_folder_are_refused(bad_project, tiny_gguf, tmp_path, capsys):
    path = settings(tmp_path / "x.toml", bad_project, tiny_gguf, tmp_path / "out")
    main(["run", "--config", str(path)])
    state = tmp_path / "out" / "state.json"
    kept = json.loads(state.read_text())
    del kept["config"]["rejection"]["model"]  # as before there was such a setting
    state.write_text(json.dumps(kept))
    assert main(["run", "--config", str(path)]) == 2
    assert "other settings" not in capsys.readouterr().err
    kept["config"]["rlvr"]["kl"] = 0.5  # as before its name was another one
    state.write_text(json.dumps(kept))
    assert main(["run", "--config", str(path)]) == 2
    assert "other settings" in capsys.readouterr().err
    del kept["config"]["rlvr"]["kl"]
    state.write_text(json.dumps(kept))
    settings(path, bad_project, tiny_gguf, tmp_path / "out", epochs=2)
    assert main(["run", "--config", str(path)]) == 2
    assert "other settings (sft)" in capsys.readouterr().err


def test_too_little_memory_or_disk_is_seen_first(bad_project, tiny_gguf, tmp_path, monkeypatch):
    import shutil

    from training.pipeline.run import RunError, check_machine

    config = read_config(settings(tmp_path / "x.toml", bad_project, tiny_gguf, tmp_path / "out"))
    check_machine(config, tmp_path)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
        with pytest.raises(RunError, match="1 MiB free"):
            check_machine(config, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "sysconf", lambda _: 1 << 12)
        with pytest.raises(RunError, match="of memory"):
            check_machine(config, tmp_path)


def test_time_left_is_counted_anew_for_each_piece_of_a_stage(monkeypatch):
    monkeypatch.setattr("training.pipeline.progress._SECONDS_A_LINE", 0)
    now = iter(range(0, 1000, 60))
    monkeypatch.setattr("training.pipeline.progress.time.monotonic", lambda: next(now))
    console = Console(file=io.StringIO(), width=80)
    with show_bars(console) as bar:
        line = bar("rejection")
        for done, total in ((10, 30), (20, 30), (1, 11), (2, 11)):
            line("x", done, total)
    assert console.file.getvalue().splitlines()[:5] == [
        "rejection begins",
        "rejection 10/30: x",
        "rejection 20/30: x, 1 min left",
        "rejection 1/11: x",
        "rejection 2/11: x, 9 min left",
    ]


def test_pytorch_is_loaded_after_its_threads_were_told_how_to_wait():
    code = "import sys, training.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_work_goes_on_where_it_was_killed(tmp_path):
    made, path = [], tmp_path / "folder" / "work.part"

    def work(items):
        for item in items:
            made.append(item)
            if item == 2 and made.count(2) == 1:
                raise KeyboardInterrupt
            yield str(item)

    with pytest.raises(KeyboardInterrupt):
        list(resume_work(path, {"size": 1}, range(5), work))
    with path.open("a") as file:  # killed in the middle of a line
        file.write('"2')
    assert list(resume_work(path, {"size": 1}, range(5), work, deadline=0.0)) == list("012")
    assert list(resume_work(path, {"size": 1}, range(5), work)) == list("01234")
    assert made == [0, 1, 2, 2, 3, 4]
    assert list(resume_work(path, {"size": 1}, range(5), None)) == list("01234")
    # On another machine other sizes may be better: nothing is taken for that of another size.
    assert list(resume_work(path, {"size": 2}, range(1), work)) == ["0"]
    assert made[-1] == 0


def read_json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def enrich(project):
    """Its function repaired, and one more, with enough in it that not all of it is learned from."""
    fixed = (
        (project / "ranges.py")
        .read_text()
        .replace("return low\n    return", "return high\n    return")
    )
    rich = """

def above(values, limit):
    if limit is None:
        return 0
    total = 0
    for value in values:
        if value is None:
            continue
        elif value > limit:
            total += 1
    return total
"""
    (project / "ranges.py").write_text(fixed + rich)
    with (project / "tests" / "test_ranges.py").open("a") as file:
        file.write("\n\ndef test_above():\n    from ranges import above\n"
                   "    assert above([1, 2, 3], 2) == 1\n    assert above([1], None) == 0\n"
                   "    assert above([None, 3], 2) == 1\n")  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_in_each_stage_ends_like_one_that_was_not(clamp_project, tiny_gguf, tmp_path):
    project = clamp_project
    enrich(project)

    def start(name):
        path = settings(tmp_path / f"{name}.toml", project, tiny_gguf, tmp_path / name)
        log = (tmp_path / f"{name}.log").open("a")
        command = [sys.executable, "-m", "training", "run", "--config", str(path)]
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def log(name):
        return (tmp_path / f"{name}.log").read_text()

    assert start("whole").wait(400) == 0, log("whole")

    # A stage is under way when its first file is there.
    begun = {
        "tasks": "state.json",
        "demonstrations": "demonstrations.jsonl*",
        "sft": "sft/step-1",
        "starts": "starts.left.jsonl",
        "rejection": "rejection.jsonl.part",
        "rlvr": "rlvr/step-1",
        "export": "rlvr/adapter",
        "evaluation": "evaluation/*.part",
    }
    out = tmp_path / "killed"
    killed = []
    for stage, sign in begun.items():
        process = start("killed")
        end = time.monotonic() + 120
        while process.poll() is None and not list(out.glob(sign)):
            assert time.monotonic() < end, (stage, log("killed"))
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed.append(stage)
        process.wait()
        assert stage in killed or process.returncode == 0, log("killed")
    assert start("killed").wait(400) == 0, log("killed")
    assert {"tasks", "demonstrations", "sft", "starts", "rejection", "rlvr"} <= set(killed)

    whole = tmp_path / "whole"
    for name in ("tasks.jsonl", "demonstrations.jsonl", "starts.jsonl"):
        mine = (out / name).read_text().replace("/killed/", "/whole/")
        assert mine == (whole / name).read_text(), name
    for stage in ("sft", "rejection", "rlvr"):
        steps = [
            json.loads(x)["step"]
            for x in (out / stage / "metrics.jsonl").read_text().split("\n")[:-1]
        ]
        assert steps == list(range(1, len(steps) + 1))
        one, other = (
            load_file(next((f / stage / "adapter").glob("*.safetensors"))) for f in (out, whole)
        )
        for name, value in one.items():
            assert torch.allclose(value, other[name], atol=1e-4), (stage, name)
    results = json.loads((out / "evaluation" / "measured-coe.json").read_text())
    assert results["summary"]["tasks"] == 1
    assert "coe-lsp repair --model" in log("killed").replace("\n", " ")
    assert list(out.glob("*-coe-v1.gguf"))
