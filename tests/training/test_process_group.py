"""Training on two processes gives the numbers of one, and a whole run gets to its end on both."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_run import enrich, settings
from training_toys import CONFIG, as_sampled, toy_groups, two_turns

from training.model.encode import encode
from training.model.packing import TokenizedRollout
from training.process_group import ProcessGroup
from training.rlvr import add_reference, train_rlvr, update
from training.sampling.groups import SampledGroups
from training.session import Session
from training.settings import RlvrConfig
from training.sft import train_sft

ROOT = Path(__file__).parents[2]
# Without GPUs `accelerate launch` starts a single process, whatever it is asked for.
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
LAUNCH += ["--nproc_per_node", "2"]
RLVR = RlvrConfig(steps=4, learning_rate=1e-4, warmup=1, num_iterations=2, micro_tokens=64)


def read_log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def move(model, example, count):
    """How far one step of plain gradient descent moves an adapter: it knows a sum from a mean."""
    add_reference(model)
    names = model.trainable()
    before = [weight.detach().clone() for weight in names.values()]
    advantages = tuple(float(label >= 0) for label in example.labels)
    rollouts = [[TokenizedRollout(as_sampled(example), advantages)] for _ in range(count)]
    optimizer = torch.optim.SGD(names.values(), 0.01)
    config = RlvrConfig(beta=0.0, max_norm=1e9)
    update(model, rollouts, optimizer, config, ProcessGroup("cpu"))
    pairs = zip(names.values(), before, strict=True)
    return torch.cat([(new.detach() - old).flatten() for new, old in pairs]).norm().item()


def test_both_stages_on_two_processes_give_the_numbers_of_one(
    tiny_gguf, tiny_model, tiny_tokenizer, toy, tmp_path
):
    fresh = copy.deepcopy(tiny_model)
    train_sft(tiny_model, toy, toy[:6], CONFIG, Session(tmp_path / "sft", 1, device="cpu"))
    groups = SampledGroups(toy_groups(tiny_tokenizer))
    session = Session(tmp_path / "rlvr", 1, tmp_path / "sft" / "adapter", device="cpu")
    train_rlvr(tiny_model, tiny_tokenizer, lambda model, step: groups, RLVR, session)
    example = encode(two_turns(), tiny_tokenizer, tiny_tokenizer.builder(instructed=False))
    moved = [move(copy.deepcopy(fresh), example, count) for count in (1, 3)]
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import json, sys, torch
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "helpers")!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
from test_process_group import RLVR, move
from training_toys import CONFIG, toy_groups, toy_records, two_turns
from training.model.base import load_model, load_tokenizer
from training.model.source import find_base
from training.model.encode import encode
from training.model.policy_model import PolicyModel
from training.process_group import ProcessGroup
from training.rlvr import train_rlvr
from training.sampling.groups import SampledGroups
from training.session import Session
from training.settings import Lora
from training.sft import train_sft

torch.set_num_threads(1)
source = find_base({str(tiny_gguf)!r})
tokenizer = load_tokenizer(source)
builder = tokenizer.builder(instructed=False)
examples = [encode(record.episode, tokenizer, builder) for record in toy_records(24)]

def new_model():
    torch.manual_seed(0)
    return PolicyModel(load_model(source, dtype=torch.float32), Lora())

folder = Path({str(tmp_path / "two")!r})
train_sft(new_model(), examples, examples[:6], CONFIG, Session(folder / "sft", 1, device="cpu"))
groups = SampledGroups(toy_groups(tokenizer))
session = Session(folder / "rlvr", 1, Path({str(tmp_path / "sft" / "adapter")!r}), device="cpu")
train_rlvr(new_model(), tokenizer, lambda m, s: groups, RLVR, session)
example = encode(two_turns(), tokenizer, builder)
moved = [move(new_model(), example, count) for count in (1, 3)]
processes = ProcessGroup("cpu")
assert processes.count == 2
if processes.is_main:
    (folder / "moved.json").write_text(json.dumps(moved))
mine = processes.share(list(range(5)))
assert processes.gather(mine) == [0, 2, 4, 1, 3]
assert processes.any(processes.is_main) and not processes.any(False)
"""
    )
    subprocess.run([*LAUNCH, str(script)], check=True, timeout=400)
    for stage, names in (("sft", ("loss",)), ("rlvr", ("loss", "kl", "entropy", "learned_tokens"))):
        alone, both = read_log(tmp_path / stage), read_log(tmp_path / "two" / stage)
        assert len(alone) == len(both) > 3
        for one, two in zip(alone[:6], both[:6], strict=True):
            assert [two[n] for n in names] == pytest.approx(
                [one[n] for n in names], rel=1e-3, abs=1e-4
            )
    assert both[-1]["kl"] > 0.0
    assert json.loads((tmp_path / "two" / "moved.json").read_text()) == pytest.approx(moved, 1e-3)


@pytest.mark.slow
def test_a_run_on_two_processes_gets_to_its_end(clamp_project, tiny_gguf, tmp_path):
    enrich(clamp_project)
    path = settings(tmp_path / "both.toml", clamp_project, tiny_gguf, tmp_path / "both")
    command = [*LAUNCH, "-m", "training", "run", "--config", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((tmp_path / "both" / "state.json").read_text())
    assert "rlvr" in state["done"] and state["done"][-1] == "evaluation"
    assert read_log(tmp_path / "both" / "rlvr")
