"""A tiny model learns by heart, and goes on to the same numbers after a stop."""

import copy
import json
import math

import pytest
import torch
from attrs import evolve
from training_toys import CONFIG, score, two_turns

from training.model.checkpoint import CheckpointError, list_checkpoints, load_adapter
from training.model.encode import collate, encode
from training.model.policy_model import PolicyModel, TrainingError
from training.session import Session
from training.settings import Lora
from training.sft import train_sft, validate


def train(model, examples, folder, **options):
    done = train_sft(
        model, examples, examples[:6], CONFIG, Session(folder, 1, device="cpu", **options)
    )
    lines = (folder / "metrics.jsonl").read_text().split("\n")[:-1]
    return done, [json.loads(line) for line in lines]


def test_no_epochs_leave_an_adapter_as_it_is(tiny_model, toy, tmp_path):
    before = {name: weight.clone() for name, weight in tiny_model.adapter_state().items()}
    train_sft(tiny_model, toy, [], evolve(CONFIG, epochs=0), Session(tmp_path, 1, device="cpu"))
    for weight in tiny_model.trainable().values():
        weight.data.zero_()
    load_adapter(tmp_path / "adapter", tiny_model)
    after = tiny_model.adapter_state()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_with_a_base_in_16_bits_the_adapter_computes_in_them_too(tiny_base, tiny_tokenizer):
    """And gets its gradients in 32."""
    example = encode(two_turns(), tiny_tokenizer, tiny_tokenizer.builder(instructed=False))
    batch = collate([example])
    torch.manual_seed(0)
    whole = PolicyModel(copy.deepcopy(tiny_base), Lora())
    torch.manual_seed(0)
    half = PolicyModel(copy.deepcopy(tiny_base).to(torch.bfloat16), Lora())
    seen = set()
    for name, module in half.peft.named_modules():
        if name.endswith("lora_A.default"):
            module.register_forward_hook(
                lambda _m, given, out: seen.add((given[0].dtype, out.dtype))
            )
    (right, _, _), (found, _, _) = score(whole, batch), score(half, batch)
    assert seen == {(torch.bfloat16, torch.bfloat16)}
    torch.testing.assert_close(found, right, atol=0.1, rtol=0.02)
    found.sum().backward()
    gradients = [p.grad for name, p in half.trainable().items() if "lora_B" in name]
    assert {g.dtype for g in gradients} == {torch.float32}
    assert all(g.abs().sum() > 0 for g in gradients)


def test_sft_learns_and_resumes_to_the_same_numbers(tiny_gguf, tiny_model, toy, tmp_path):
    before = validate(tiny_model, toy[:6], 400, torch.device("cpu"))
    start = tiny_model.adapter_state()
    start = {name: value.clone() for name, value in start.items()}
    done, whole = train(tiny_model, toy, tmp_path / "whole")
    assert done
    assert before["command_accuracy"] < 0.5
    assert whole[-1]["command_accuracy"] == 1.0
    assert whole[-1]["validation_loss"] < 0.1 * before["validation_loss"]
    final = {name: value.clone() for name, value in tiny_model.adapter_state().items()}

    tiny_model.load_adapter_state(start)
    stopped, _ = train(tiny_model, toy, tmp_path / "part", minutes=0.0)
    assert not stopped
    with (tmp_path / "part" / "metrics.jsonl").open("a") as file:  # killed in the middle of a line
        file.write('{"step": 2, "lo')
    tiny_model.load_adapter_state(start)  # as a new process would find it
    stopped, _ = train(tiny_model, toy, tmp_path / "part", minutes=0.02)
    tiny_model.load_adapter_state(start)
    done, parts = train(tiny_model, toy, tmp_path / "part")
    assert done
    assert [e["step"] for e in parts] == [e["step"] for e in whole]
    assert [e["loss"] for e in parts] == pytest.approx([e["loss"] for e in whole], abs=1e-5)
    for name, value in tiny_model.adapter_state().items():
        assert torch.allclose(value, final[name], atol=1e-5), name
    kept = list_checkpoints(tmp_path / "part")
    assert len(kept) == 2
    assert all(f.stat().st_size < 16 << 20 for path in kept for f in path.rglob("*") if f.is_file())
    with pytest.raises(CheckpointError, match="no adapter"):
        load_adapter(tmp_path / "nothing", tiny_model)


def test_a_gradient_that_is_not_finite_ends_training(tiny_model, toy, tmp_path):
    weight = next(iter(tiny_model.trainable().values()))
    weight.register_hook(lambda gradient: gradient * math.nan)
    before = {key: value.clone() for key, value in tiny_model.adapter_state().items()}
    with pytest.raises(TrainingError, match="not a finite number"):
        train_sft(tiny_model, toy, [], CONFIG, Session(tmp_path, 1, device="cpu"))
    assert not (tmp_path / "adapter").exists()
    after = tiny_model.adapter_state()
    assert all(torch.equal(before[key], after[key]) for key in before)
