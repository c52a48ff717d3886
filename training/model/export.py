"""Adapters from peft's form to llama.cpp's and back, and whole models with an adapter merged in.

The file itself is the affair of `coe_lsp.models.lora_gguf`; here are the names of the layers and
the order of their rows. In the llama architecture the rows of the query and key projections are
permuted, as its converter does; qwen2 keeps them.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from attrs import frozen
from transformers import AutoConfig, AutoModelForCausalLM

from coe_lsp.errors import CoeError
from coe_lsp.files import replacing
from coe_lsp.models.lora_gguf import (
    Floats,
    LoraPair,
    WeightType,
    check_lora,
    matrix_shapes,
    merge_lora,
    read_lora,
    write_lora,
)
from training.model.checkpoint import read_adapter
from training.settings import Lora

Quantisation = WeightType | Literal["Q4_K_M"]
_ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}
_NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight\Z")


class ExportError(CoeError):
    """An adapter cannot be exported for this model."""


@frozen
class _Shape:
    """What of the base decides how tensors are laid out."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    matrices: dict[str, tuple[int, int]]  # (in, out) by llama.cpp's names


def export_adapter(adapter: Path, base: Path | str, target: Path, *, name: str = "") -> None:
    """Write the adapter of a folder as a GGUF for the model in `base`, weights in 16 bits.

    `base` is a GGUF, or a folder or hub repository with transformers' own files. LoraError if the
    two do not fit each other, ExportError if there is no adapter or llama.cpp has no names for it.
    """
    alpha = _config(adapter)["lora_alpha"]
    shape = _shape(base)
    pairs = _pairs(adapter, shape)
    check_lora(shape.matrices, pairs)
    write_lora(target, shape.architecture, name or target.stem, float(alpha), pairs)


def check_base(base: Path | str) -> None:
    """ExportError if adapters cannot be exported for this model; see `export_adapter`."""
    _shape(base)


def check_adapter(adapter: Path, base: Path, lora: Lora) -> None:
    """LoraError or ExportError if training of this base cannot go on from an adapter in a GGUF."""
    _read(adapter, base, lora)


def import_adapter(
    adapter: Path, base: Path, lora: Lora, keys: Iterable[str]
) -> dict[str, torch.Tensor]:
    """An adapter that `export_adapter` wrote, as peft's tensors by those `keys`, in 32 bits.

    LoraError if it does not fit the base, ExportError if its rank is another.
    """
    shape, alpha, pairs = _read(adapter, base, lora)
    names = _names(shape.architecture, shape.layers)
    state: dict[str, torch.Tensor] = {}
    for key in keys:
        name, side = _gguf_name(key, names)
        pair = pairs.get(name)
        if pair is None:
            raise ExportError(f"{adapter.name} has nothing for {name}.")
        matrix = pair.a
        if side == "B":  # at run time the scale is alpha / rank
            matrix = alpha / lora.alpha * _laid_out(pair.b, name, shape, _unpermuted)
        state[key] = torch.tensor(matrix)
    return state


def _read(adapter: Path, base: Path, lora: Lora) -> tuple[_Shape, float, dict[str, LoraPair]]:
    """The base's shape, and the adapter's alpha and matrices."""
    shape = _gguf_shape(gguf.GGUFReader(base))
    alpha, pairs = read_lora(gguf.GGUFReader(adapter))
    check_lora(shape.matrices, pairs)
    rank = next(iter(pairs.values())).a.shape[0]
    if rank != lora.rank:
        raise ExportError(
            f"{adapter.name} has rank {rank}: set model.lora.rank to that, or train from nothing."
        )
    return shape, alpha, pairs


def export_merged(adapter: Path, base: Path, target: Path, quantisation: Quantisation) -> None:
    """Write base plus adapter as one model; Q4_K_M needs the disk for it in 16 bits besides."""
    exported = target.with_name(target.name + ".adapter")
    full = target.with_name(target.name + ".f16")
    try:
        export_adapter(adapter, base, exported)
        if quantisation != "Q4_K_M":
            merge_lora(base, exported, target, quantisation)
            return
        merge_lora(base, exported, full, "F16")
        _quantise(full, target)
    finally:
        exported.unlink(missing_ok=True)
        full.unlink(missing_ok=True)


def _quantise(source: Path, target: Path) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    with replacing(target) as part:
        code = llama_cpp.llama_model_quantize(
            str(source).encode(), str(part).encode(), ctypes.pointer(parameters)
        )
        if code != 0:
            raise ExportError(f"llama.cpp could not quantise {source} (code {code}).")


def _config(adapter: Path) -> dict[str, Any]:
    try:
        return json.loads((adapter / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f"{adapter} holds no adapter: {error}.") from error


def _shape(base: Path | str) -> _Shape:
    if Path(base).is_file():
        return _gguf_shape(gguf.GGUFReader(base))
    return _native_shape(str(base))


def _gguf_shape(reader: Any) -> _Shape:
    def value(key: str) -> Any:
        return reader.fields[key].contents()

    architecture = _supported(value("general.architecture"))
    return _Shape(
        architecture,
        int(value(f"{architecture}.block_count")),
        int(value(f"{architecture}.attention.head_count")),
        int(value(f"{architecture}.attention.head_count_kv")),
        matrix_shapes(reader),
    )


def _native_shape(base: str) -> _Shape:
    """The same of transformers' own files; of the weights only the shapes are made."""
    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise ExportError(f"{base} has no configuration of a model: {error}") from error
    architecture = _supported(config.model_type)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    names = _names(architecture, config.num_hidden_layers)
    matrices = {
        name: (weight.shape[1], weight.shape[0])
        for key, weight in model.named_parameters()
        if weight.ndim == 2 and (name := names.get_name(key, try_suffixes=(".weight",)))
    }
    return _Shape(
        architecture,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
        matrices,
    )


def _supported(architecture: str) -> str:
    if architecture not in _ARCHITECTURES:
        raise ExportError(
            f"Adapters can be exported for llama and qwen2 models, not for {architecture}."
        )
    return architecture


def _pairs(adapter: Path, shape: _Shape) -> dict[str, LoraPair]:
    """The adapter's matrices by llama.cpp's names, laid out as llama.cpp has them."""
    names = _names(shape.architecture, shape.layers)
    sides: dict[str, dict[str, Floats]] = {}
    for key, value in read_adapter(adapter).items():
        name, side = _gguf_name(key, names)
        matrix = value.float().numpy()
        if side == "B":
            matrix = _laid_out(matrix, name, shape, _permuted)
        sides.setdefault(name, {})[side] = matrix
    return {name: LoraPair(pair["A"], pair["B"]) for name, pair in sides.items()}


def _names(architecture: str, layers: int) -> gguf.TensorNameMap:
    return gguf.get_tensor_name_map(_ARCHITECTURES[architecture], layers)


def _gguf_name(key: str, names: gguf.TensorNameMap) -> tuple[str, str]:
    """llama.cpp's name of the layer that one of peft's tensors belongs to, and its side, A or B."""
    match = _NAME.match(key)
    name = names.get_name(f"{match['layer']}.weight", try_suffixes=(".weight",)) if match else None
    if match is None or name is None:
        raise ExportError(f"The adapter has a tensor that GGUF has no name for: {key}.")
    return name, match["side"]


def _laid_out(
    matrix: Floats, name: str, shape: _Shape, order: Callable[[Floats, int], Floats]
) -> Floats:
    """The B side of a layer with its rows in another order, where the architecture has one."""
    if shape.architecture != "llama":
        return matrix
    if name.endswith("attn_q.weight"):
        return order(matrix, shape.heads)
    return order(matrix, shape.kv_heads) if name.endswith("attn_k.weight") else matrix


def _permuted(matrix: Floats, heads: int) -> Floats:
    """Rows from transformers' order of rotary halves to llama.cpp's interleaved one."""
    rows = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(matrix.shape))


def _unpermuted(matrix: Floats, heads: int) -> Floats:
    """And back."""
    rows = matrix.reshape(heads, matrix.shape[0] // heads // 2, 2, *matrix.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(matrix.shape))
