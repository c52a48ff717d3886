"""Adapters as the server loads them: the same next token in both worlds, and nothing that fits not."""

import json

import numpy as np
import pytest
import torch

from coe_lsp.models.engine import Engine, EngineError, Sampling
from training.checkpoint import save_adapter
from training.export import (
    ExportError,
    check_adapter,
    export_adapter,
    export_merged,
    import_adapter,
)
from training.policy_model import Lora

POSITIONS = 200


def disturb(model, scale):
    """Give the adapter an effect; a new one has none."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.trainable().items():
            if "lora_B" in name:
                weight.copy_(torch.randn_like(weight) * scale)


@torch.no_grad()
def transformers_logits(model, tokens):
    return model.peft(torch.tensor([tokens])).logits[0].double().numpy()


def llama_logits(path, tokens, adapter=None):
    import llama_cpp

    llama = llama_cpp.Llama(
        str(path), lora_path=str(adapter) if adapter else None, n_ctx=len(tokens), n_batch=64,
        logits_all=True, verbose=False,
    )  # fmt: skip
    llama.eval(tokens)
    return np.array(llama.scores[: len(tokens)], dtype=np.float64)


def compare(one, two, lead=0.0):
    """Mean KL divergence, and the share of equal top tokens where the first leads by so many nats."""

    def logs(x):
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    p, q = logs(one), logs(two)
    second, first = np.sort(p, axis=-1)[:, -2:].T
    same = (p.argmax(-1) == q.argmax(-1))[first - second >= lead]
    return float((np.exp(p) * (p - q)).sum(-1).mean()), float(same.mean())


@pytest.fixture(scope="module")
def trace(small_model):
    """Tokens of real chains."""
    from coe_lsp.chain.prompt import EXAMPLES, PromptBuilder
    from training.base import find_base, load_tokenizer

    tokenizer = load_tokenizer(find_base(str(small_model)))
    builder = PromptBuilder("chatml", instructed=True)
    segments = builder.opening(EXAMPLES[0].task, EXAMPLES[0].start)
    return tokenizer.tokenize(segments, add_bos=True)[-POSITIONS:]


@pytest.mark.model
@pytest.mark.slow
def test_parity_on_real_weights(small_model, trace, tmp_path):
    """On the dequantised base every position counts.

    On the quantised one llama.cpp rounds activations to eight bits, which alone, without any
    adapter, turns 2 to 4 % of the top tokens, all with a lead below 0.3 nats (and more or fewer
    from one processor to the next). There such positions have no top token to agree on.
    """
    from training.base import find_base, load_model
    from training.policy_model import Lora, PolicyModel

    model = PolicyModel(load_model(find_base(str(small_model)), dtype=torch.float32), Lora())
    plain = transformers_logits(model, trace)
    save_adapter(tmp_path / "new", model)
    export_merged(tmp_path / "new", small_model, tmp_path / "base.gguf", "F16")
    disturb(model, 0.05)
    save_adapter(tmp_path / "adapter", model)
    adapter = tmp_path / "adapter.gguf"
    export_adapter(tmp_path / "adapter", small_model, adapter)
    ours = transformers_logits(model, trace)
    assert len(ours) == POSITIONS
    effect, _ = compare(ours, plain)
    assert effect > 0.05  # there is something to agree on
    kl, same = compare(ours, llama_logits(tmp_path / "base.gguf", trace, adapter))
    print(f"dequantised: effect of the adapter {effect:.3f}, KL {kl:.6f}, same {same:.3f}")
    assert kl < 0.001
    assert same >= 0.98
    kl, same = compare(ours, llama_logits(small_model, trace, adapter), lead=0.5)
    print(f"quantised: KL {kl:.5f}, same {same:.3f}")
    assert kl < 0.01
    assert same >= 0.98


def test_merged_models_are_what_the_adapter_makes(tiny_gguf, tiny_model, trace, tmp_path):
    disturb(tiny_model, 0.05)
    save_adapter(tmp_path / "adapter", tiny_model)
    wanted = transformers_logits(tiny_model, trace[:40])
    for kind, most in (("F16", 1e-4), ("Q8_0", 0.01)):
        path = tmp_path / f"{kind}.gguf"
        export_merged(tmp_path / "adapter", tiny_gguf, path, kind)
        kl, same = compare(wanted, llama_logits(path, trace[:40]))
        assert kl < most, kind
    with Engine(path, context_tokens=64) as engine:
        sequence = engine.sequence()
        sequence.append(trace[:40])
        assert next(engine.run([engine.submit(sequence, Sampling(max_tokens=2))]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["F16.gguf", "Q8_0.gguf", "adapter"]


def test_an_adapter_comes_back_as_it_went(tiny_gguf, tiny_model, tmp_path):
    disturb(tiny_model, 0.05)
    save_adapter(tmp_path / "adapter", tiny_model)
    path = tmp_path / "adapter.gguf"
    export_adapter(tmp_path / "adapter", tiny_gguf, path)
    before = {name: value.clone() for name, value in tiny_model.adapter_state().items()}
    back = import_adapter(path, tiny_gguf, Lora(), before)
    assert back.keys() == before.keys()
    for name, value in before.items():
        assert torch.allclose(back[name], value, atol=1e-3, rtol=1e-3), name
    # Another alpha means another scale: the product stays the same.
    other = import_adapter(path, tiny_gguf, Lora(alpha=16), before)
    name = next(name for name in before if "lora_B" in name)
    assert torch.allclose(other[name], 2 * back[name])


def test_an_adapter_to_go_on_from_must_fit(tiny_gguf, tiny_model, small_model, tmp_path):
    save_adapter(tmp_path / "adapter", tiny_model)
    path = tmp_path / "adapter.gguf"
    export_adapter(tmp_path / "adapter", tiny_gguf, path)
    check_adapter(path, tiny_gguf, Lora())
    with pytest.raises(ExportError, match=r"has rank 16: set model\.lora\.rank"):
        check_adapter(path, tiny_gguf, Lora(rank=8))
    with pytest.raises(ExportError, match="is not a LoRA adapter"):
        check_adapter(tiny_gguf, tiny_gguf, Lora())


def test_what_does_not_fit_is_refused(tiny_gguf, tiny_model, small_model, tmp_path):
    save_adapter(tmp_path / "adapter", tiny_model)
    target = tmp_path / "adapter.gguf"
    export_adapter(tmp_path / "adapter", tiny_gguf, target)
    with Engine(tiny_gguf, adapter=target, context_tokens=64):
        pass
    with pytest.raises(ExportError, match="holds no adapter"):
        export_adapter(tmp_path / "nothing", tiny_gguf, target)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16, 32)
    cut = tmp_path / "cut"
    cut.mkdir()
    from safetensors.torch import load_file, save_file

    state = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    state = {name: value[:, :-8] if "lora_A" in name else value for name, value in state.items()}
    save_file({k: v.contiguous() for k, v in state.items()}, cut / "adapter_model.safetensors")
    (cut / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="does not belong to this model"):
        export_adapter(cut, tiny_gguf, target)
    with pytest.raises(EngineError, match="does not fit|cannot be used|Cannot"):
        (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
        Engine(tiny_gguf, adapter=tmp_path / "broken.gguf", context_tokens=64)
