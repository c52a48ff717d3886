"""A model with its adapter merged in, requantised: the same answers, sooner.

llama.cpp evaluates an adapter beside the model, at every layer, and has fast (repacked) kernels on
a CPU for some kinds of quantised weights only. Merging adds scale * B @ A to each layer that the
adapter changes (LoRA, arXiv 2106.09685) and writes the sum as `kind`; all other tensors are copied
as they are. Weights pass through memory a tensor at a time, so that this takes little memory, and
disk for the result alone. Where the result is kept is the affair of `coe_lsp.models.merged`.

What merging earns and costs is measured by `tests/benchmarks/bench_merged.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from attrs import frozen

from coe_lsp.files import replacing
from coe_lsp.models.registry import ModelError

Kind = Literal["F16", "Q8_0", "Q4_0"]
#: `general.file_type` of each kind, as llama.cpp numbers them.
_FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7}


class MergeError(ModelError):
    """The adapter does not belong to the model, or the result cannot be written."""


@frozen
class _Pair:
    """The matrices of one layer: `a` is (rank, in), `b` (out, rank)."""

    a: Any
    b: Any


def merge(
    model: Path,
    adapter: Path,
    target: Path,
    kind: Kind,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Write `model` plus `adapter`, both GGUF files, to `target`, which appears when it is whole.

    `on_bytes` hears how many bytes of `model` were dealt with since it was called last; what it
    raises ends this. MergeError where the two do not fit each other; OSError as writing raises it.
    """
    import gguf  # only here: a repair whose merged model is there already has no need of it

    base = gguf.GGUFReader(model)
    scale, pairs = _read_adapter(gguf.GGUFReader(adapter))
    _check(base, pairs)
    merged = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[merged]
    architecture = base.fields["general.architecture"].contents()
    try:
        with replacing(target) as part, closing(gguf.GGUFWriter(part, architecture)) as writer:
            _copy_metadata(base, writer, kind)
            for tensor in base.tensors:
                form = merged if tensor.name in pairs else tensor.tensor_type
                count = int(tensor.n_elements) // block * size if form == merged else tensor.n_bytes
                shape = [int(n) for n in reversed(tensor.shape)]
                writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), int(count), form)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in base.tensors:
                data = tensor.data
                if pair := pairs.get(tensor.name):
                    weights = gguf.dequantize(data, tensor.tensor_type)
                    data = gguf.quantize(weights + scale * (pair.b @ pair.a), merged)
                writer.write_tensor_data(data)
                on_bytes(int(tensor.n_bytes))
            writer.close()
    except (NotImplementedError, gguf.QuantError) as error:
        raise MergeError(f"The weights of {model.name} cannot be merged: {error}.") from error


def _read_adapter(reader: Any) -> tuple[float, dict[str, _Pair]]:
    """The factor on B @ A, and the pairs by the name of the tensor that they change."""
    alpha = reader.fields.get("adapter.lora.alpha")
    sides: dict[str, dict[str, Any]] = {}
    for tensor in reader.tensors:
        name, _, side = tensor.name.rpartition(".lora_")
        sides.setdefault(name, {})[side] = tensor.data.astype(np.float32)
    if alpha is None or not sides or any(pair.keys() != {"a", "b"} for pair in sides.values()):
        raise MergeError("The adapter file is not a LoRA adapter.")
    pairs = {name: _Pair(pair["a"], pair["b"]) for name, pair in sides.items()}
    rank = next(iter(pairs.values())).a.shape[0]
    return float(alpha.contents()) / rank, pairs


def _check(base: Any, pairs: dict[str, _Pair]) -> None:
    shapes = {tensor.name: tuple(int(n) for n in tensor.shape) for tensor in base.tensors}
    for name, pair in pairs.items():
        wanted = (pair.a.shape[1], pair.b.shape[0])  # GGUF names the fastest dimension first
        if shapes.get(name) != wanted:
            raise MergeError(
                f"The adapter does not belong to this model: {name} is {shapes.get(name)} there "
                f"and {wanted} in the adapter."
            )


def _copy_metadata(reader: Any, writer: Any, kind: Kind) -> None:
    import gguf

    for field in reader.fields.values():
        if field.name == gguf.Keys.General.ARCHITECTURE or field.name.startswith("GGUF."):
            continue
        if field.name == gguf.Keys.General.FILE_TYPE:
            writer.add_file_type(_FILE_TYPES[kind])
            continue
        form = field.types[0]
        inner = field.types[-1] if form == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), form, sub_type=inner)
