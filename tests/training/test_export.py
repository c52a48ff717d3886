"""Adapters as the server loads them: the same next token in both worlds, and nothing that fits not."""

import json
from unittest.mock import patch

import gguf
import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from coe_lsp.engine.binding import model_parameters
from coe_lsp.engine.engine import Engine, EngineError
from coe_lsp.engine.sampling import Sampling
from coe_lsp.models.lora_gguf import LoraError
from training.model.checkpoint import save_adapter
from training.model.export import (
    ExportError,
    check_adapter,
    export_adapter,
    export_merged,
    import_adapter,
)
from training.model.policy_model import PolicyModel
from training.settings import Lora

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

    with patch("llama_cpp.llama_cpp.llama_model_default_params", model_parameters):
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
    from training.model.base import load_tokenizer
    from training.model.source import find_base

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
    from training.model.base import load_model
    from training.model.source import find_base

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


def test_a_base_in_transformers_own_files_gives_the_same_adapter(
    tiny_gguf, tiny_native, tiny_model, tmp_path
):
    disturb(tiny_model, 0.05)
    save_adapter(tmp_path / "adapter", tiny_model)
    export_adapter(tmp_path / "adapter", tiny_gguf, tmp_path / "one.gguf", name="x")
    export_adapter(tmp_path / "adapter", str(tiny_native), tmp_path / "other.gguf", name="x")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "other.gguf").read_bytes()
    config = json.loads((tiny_native / "config.json").read_text())
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(LoraError, match="does not belong to this model"):
        export_adapter(tmp_path / "adapter", str(tmp_path / "wide"), tmp_path / "x.gguf")
    with pytest.raises(ExportError, match="no configuration"):
        export_adapter(tmp_path / "adapter", str(tmp_path / "adapter"), tmp_path / "x.gguf")


@pytest.fixture
def tiny_qwen2(tiny_gguf, tmp_path):
    """A small qwen2 model with random weights: as transformers has it, and as a GGUF."""
    config = Qwen2Config(
        vocab_size=49152, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(3)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    path = tmp_path / "qwen2.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    for field in gguf.GGUFReader(tiny_gguf).fields.values():
        if field.name.startswith("tokenizer."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    writer.add_block_count(2)
    writer.add_context_length(1024)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, 2)
    for key, weight in model.named_parameters():
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        kind = np.float32 if weight.ndim == 1 else np.float16
        writer.add_tensor(name, weight.detach().numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, path


def test_parity_of_the_other_architecture(tiny_qwen2, trace, tmp_path):
    """qwen2, whose rows are not permuted and whose projections have biases."""
    base, path = tiny_qwen2
    model = PolicyModel(base, Lora())
    plain = transformers_logits(model, trace)
    disturb(model, 0.1)
    save_adapter(tmp_path / "adapter", model)
    adapter = tmp_path / "adapter.gguf"
    export_adapter(tmp_path / "adapter", path, adapter)
    ours = transformers_logits(model, trace)
    effect, _ = compare(ours, plain)
    assert effect > 0.05
    kl, same = compare(ours, llama_logits(path, trace, adapter))
    assert kl < 0.001
    assert same >= 0.98


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
    with pytest.raises(LoraError, match="is not a LoRA adapter"):
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
    with pytest.raises(LoraError, match="does not belong to this model"):
        export_adapter(cut, tiny_gguf, target)
    with pytest.raises(EngineError, match="does not fit|cannot be used|Cannot"):
        (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
        Engine(tiny_gguf, adapter=tmp_path / "broken.gguf", context_tokens=64)
