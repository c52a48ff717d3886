"""Pieces that are carried, and a whole rented run on the CPU: killed in each slice, and gone on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attrs import evolve

from training.__main__ import main
from training.model.encoded import load_examples, save_examples
from training.rented.pieces import PiecesError, cut_folder, join_folder
from training.rented.prepare import place_here
from training.tasks.tasks import Place, Task, save_tasks

ROOT = Path(__file__).parents[2]


def test_a_folder_comes_back_from_its_pieces(tmp_path):
    source = tmp_path / "source"
    (source / "in").mkdir(parents=True)
    data = os.urandom(50_000)
    (source / "in" / "large").write_bytes(data)
    (source / "small").write_text("x")
    pieces = cut_folder(source, ["in", "small"], tmp_path / "pieces", 20_000)
    assert len(pieces) == 4 and max(path.stat().st_size for path in pieces) == 20_000
    lost = pieces[2].read_bytes()
    pieces[2].write_bytes(lost[:-1])
    with pytest.raises(PiecesError, match=r"1 of 4 pieces .*piece-002"):
        join_folder(tmp_path / "pieces", tmp_path / "there")
    pieces[2].write_bytes(lost)
    join_folder(tmp_path / "pieces", tmp_path / "there")
    assert (tmp_path / "there" / "in" / "large").read_bytes() == data
    (tmp_path / "there" / "small").write_text("worked on")
    join_folder(tmp_path / "pieces", tmp_path / "there")
    assert (tmp_path / "there" / "small").read_text() == "worked on"
    with pytest.raises(PiecesError, match="carry that along"):
        join_folder(tmp_path, tmp_path / "there")


def test_encoded_examples_come_back_as_they_were(toy, tmp_path):
    path = tmp_path / "a" / "x.npz"
    save_examples(path, train=toy, validation=toy[:3], none=[])
    assert load_examples(path, "train") == toy
    assert load_examples(path, "validation") == toy[:3]
    assert load_examples(path, "none") == []


def test_a_function_is_found_where_the_bundle_is():
    task = Task("t", "x", ("a",), place=Place("projects/000-p", "m.py", "f", ""))
    moved = place_here(task, Path("/there"), "/python")
    assert (moved.place.root, moved.place.python) == ("/there/projects/000-p", "/python")
    again = place_here(moved, Path("/other"), "/python")
    assert again.place.root == "/other/projects/000-p"


SETTINGS = """
out = "out"
processes = 2
max_tokens = 900
held_out = 0.2
stages = ["rlvr"]
[model]
base = "{base}"
[tasks]
files = ["tasks.jsonl"]
project = "{project}"
[demonstrations]
per_task = 3
[sft]
batch_tokens = 1024
micro_tokens = 1024
save_every = 1
[starts]
corrupted = 2
written = 0
held_out = 2
[rlvr]
steps = 3
starts = 2
num_generations = 2
max_turns = 1
max_tokens = 1000
resamples = 1
evaluate_every = 1
save_every = 1
"""


@pytest.mark.slow
def test_a_rented_run_killed_in_each_slice_ends(
    task, clamp_project, tiny_gguf, tmp_path, monkeypatch, capsys
):
    """Prepared here, done in a folder with nothing but its pieces, and carried back."""
    ranges = clamp_project / "ranges.py"
    mended = ranges.read_text().replace("return low\n    return", "return high\n    return")
    ranges.write_text(mended)
    monkeypatch.chdir(tmp_path)
    tasks = [
        evolve(task, task_id=f"t/{n}", reference=task.reference.replace("total", f"total{n}"))
        for n in range(6)
    ]
    save_tasks(tmp_path / "tasks.jsonl", tasks)
    text = SETTINGS.format(base=tiny_gguf, project=clamp_project)
    (tmp_path / "x.toml").write_text(text)
    command = ["prepare", "--config", "x.toml", "--bundle", "bundle", "--piece-mib", "8"]
    assert main([*command, "--processes", "2"]) == 0
    pieces = sorted((tmp_path / "bundle" / "pieces").glob("piece-*"))
    assert len(pieces) > 2 and max(path.stat().st_size for path in pieces) <= 8 << 20

    there = tmp_path / "there"
    there.mkdir()
    shutil.move(tmp_path / "bundle" / "pieces", there / "pieces")
    shutil.rmtree(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "tasks.jsonl").unlink()
    ranges.unlink()
    shutil.rmtree(clamp_project / "tests")

    def start(*more):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "COE_LSP_CACHE": str(there / "empty"),
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", "training", "slice", "--pieces", "pieces"]
        command += ["--work", "work", "--save", "saved", *more]
        log = (there / "log").open("a")
        return subprocess.Popen(
            command, cwd=there, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    run = there / "work" / "run"
    for sign in ("sft/step-1", "starts.hard.jsonl", "rlvr/step-1"):
        process = start()
        end = time.monotonic() + 240
        while process.poll() is None and not (run / sign).exists():
            assert time.monotonic() < end, (sign, (there / "log").read_text())
            time.sleep(0.02)
        assert process.poll() is None, (there / "log").read_text()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start("--minutes", "0").wait(300) == 75  # what is saved is enough to go on elsewhere
    moved = there / "elsewhere"
    moved.mkdir()
    (there / "saved").rename(moved / "saved")
    shutil.copytree(there / "pieces", moved / "pieces")
    assert start().wait(400) == 0, (there / "log").read_text()
    done = json.loads((run / "state.json").read_text())["done"]
    assert done[-2:] == ["export", "comparison"] and "rlvr" in done
    verdict = json.loads((run / "comparison.json").read_text())
    assert set(verdict["right"]) == {"none", "sft", "new"} and verdict["programs"] > 0
    steps = [json.loads(x)["step"] for x in (run / "rlvr" / "metrics.jsonl").open()]
    assert steps == [1, 2, 3]
    join_folder(there / "saved", there / "back")
    assert list((there / "back").glob("*-coe-v1.gguf")) and list((there / "back").glob("*.md"))

    first, there = there, moved
    assert start("--saved", "saved").wait(400) == 0, (there / "log").read_text()
    done = json.loads((there / "work" / "run" / "state.json").read_text())["done"]
    assert "sft" in done and done[-1] == "comparison"
    steps = [sorted((x / "work" / "run" / "sft").glob("step-*")) for x in (first, there)]
    assert steps[0] and not steps[1]  # it was not learned again
