"""Adapters as GGUF for the server, read back from there, and merged models requantised.

llama.cpp's adapter format: `general.type` adapter, `adapter.type` lora, `adapter.lora.alpha`, and
for each linear layer `.lora_a` (rank, in) and `.lora_b` (out, rank) under llama.cpp's own names.
In the llama architecture the rows of the query and key projections are permuted, as its converter
does; qwen2 keeps them. At run time the scale is alpha / rank.
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
import numpy.typing as npt
import torch
from attrs import frozen
from transformers import AutoConfig, AutoModelForCausalLM

from coe_lsp.errors import CoeError
from coe_lsp.files import replacing
from coe_lsp.models.lora_gguf import Kind, merge
from training.model.checkpoint import read_adapter
from training.model.policy_model import Lora

Floats = npt.NDArray[np.float32]
Quantisation = Kind | Literal["Q4_K_M"]
_ARCHITECTURES = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2}
_NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight\Z")


class ExportError(CoeError):
    """An adapter cannot be exported for this model."""


@frozen
class _Pair:
    a: Floats
    b: Floats


@frozen
class _Shape:
    """What of the base decides how tensors are laid out."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    matrices: dict[str, tuple[int, int]]  # (in, out) by llama.cpp's names


def export_adapter(
    adapter: Path, base: Path | str, target: Path, *, description: str = "", name: str = ""
) -> None:
    """Write the adapter of a folder as a GGUF for the model in `base`, weights in 16 bits.

    `base` is a GGUF, or a folder or hub repository with transformers' own files. ExportError if
    the two do not fit each other.
    """
    alpha = _config(adapter)["lora_alpha"]
    shape = _shape(base)
    pairs = _pairs(adapter, shape)
    _check(shape, pairs)
    with replacing(target) as part:
        writer = gguf.GGUFWriter(part, shape.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(name or target.stem)
        if description:
            writer.add_description(description)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
        for tensor, pair in pairs.items():
            writer.add_tensor(f"{tensor}.lora_a", pair.a.astype(np.float16))
            writer.add_tensor(f"{tensor}.lora_b", pair.b.astype(np.float16))
        _finish(writer)


def check_base(base: Path | str) -> None:
    """ExportError if adapters cannot be exported for this model; see `export_adapter`."""
    _shape(base)


def check_adapter(adapter: Path, base: Path, lora: Lora) -> None:
    """ExportError if training of this base cannot go on from an adapter in a GGUF."""
    _read(adapter, base, lora)


def import_adapter(
    adapter: Path, base: Path, lora: Lora, keys: Iterable[str]
) -> dict[str, torch.Tensor]:
    """An adapter that `export_adapter` wrote, as peft's tensors by those `keys`, in 32 bits.

    ExportError if it does not fit the base, or if its rank is another.
    """
    shape, scale, tensors = _read(adapter, base, lora)
    names = _names(shape.architecture, shape.layers)
    state: dict[str, torch.Tensor] = {}
    for key in keys:
        name, side = _gguf_name(key, names)
        matrix = tensors.get(f"{name}.lora_{side.lower()}")
        if matrix is None:
            raise ExportError(f"{adapter.name} has nothing for {name}.")
        if side == "B":
            matrix = scale * _laid_out(matrix, name, shape, _unpermuted)
        state[key] = torch.tensor(matrix)
    return state


def _read(adapter: Path, base: Path, lora: Lora) -> tuple[_Shape, float, dict[str, Floats]]:
    """The base's shape, what to multiply B with for this LoRA's scale, and all matrices."""
    shape, reader = _gguf_shape(gguf.GGUFReader(base)), gguf.GGUFReader(adapter)
    tensors = {t.name: t.data.astype(np.float32) for t in reader.tensors}
    alpha = reader.fields.get(gguf.Keys.Adapter.LORA_ALPHA)
    pairs = {
        name.removesuffix(".lora_a"): _Pair(a, tensors[name.removesuffix("a") + "b"])
        for name, a in tensors.items()
        if name.endswith(".lora_a")
    }
    if alpha is None or not pairs:
        raise ExportError(f"{adapter} is not a LoRA adapter.")
    _check(shape, pairs)
    rank = next(iter(pairs.values())).a.shape[0]
    if rank != lora.rank:
        raise ExportError(
            f"{adapter.name} has rank {rank}: set model.lora.rank to that, or train from nothing."
        )
    return shape, float(alpha.contents()) / lora.alpha, tensors


def export_merged(adapter: Path, base: Path, target: Path, quantisation: Quantisation) -> None:
    """Write base plus adapter as one model; Q4_K_M needs the disk for it in 16 bits besides."""
    exported = target.with_name(target.name + ".adapter")
    full = target.with_name(target.name + ".f16")
    try:
        export_adapter(adapter, base, exported)
        if quantisation != "Q4_K_M":
            merge(base, exported, target, quantisation)
            return
        merge(base, exported, full, "F16")
        _quantise(full, target)
    finally:
        exported.unlink(missing_ok=True)
        full.unlink(missing_ok=True)


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
        # GGUF names the fastest dimension first
        {t.name: (int(t.shape[0]), int(t.shape[1])) for t in reader.tensors if len(t.shape) == 2},
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


def _pairs(adapter: Path, shape: _Shape) -> dict[str, _Pair]:
    """The adapter's matrices by llama.cpp's names, laid out as llama.cpp has them."""
    names = _names(shape.architecture, shape.layers)
    sides: dict[str, dict[str, Floats]] = {}
    for key, value in read_adapter(adapter).items():
        name, side = _gguf_name(key, names)
        matrix = value.float().numpy()
        if side == "B":
            matrix = _laid_out(matrix, name, shape, _permuted)
        sides.setdefault(name, {})[side] = matrix
    return {name: _Pair(pair["A"], pair["B"]) for name, pair in sides.items()}


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


def _check(shape: _Shape, pairs: dict[str, _Pair]) -> None:
    for name, pair in pairs.items():
        there, wanted = shape.matrices.get(name), (pair.a.shape[1], pair.b.shape[0])
        if there != wanted:
            raise ExportError(
                f"The adapter does not belong to this model: {name} is {there} there "
                f"and {wanted} in the adapter."
            )
