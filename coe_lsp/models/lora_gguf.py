"""LoRA adapters as llama.cpp stores them: read, written, and merged into a model.

An adapter file has `general.type` adapter, `adapter.type` lora, `adapter.lora.alpha`, and for each
linear layer `.lora_a` (rank, in) and `.lora_b` (out, rank) behind the layer's name; what it adds is
alpha / rank * B @ A (LoRA, arXiv 2106.09685).

Merging gives the same answers, sooner: llama.cpp evaluates an adapter beside the model, at every
layer, and has fast (repacked) kernels on a CPU for some kinds of quantised weights only. The sum is
written as `kind`; all other tensors are copied as they are. Weights pass through memory a tensor at
a time, so that this takes little memory, and disk for the result alone. Where the result is kept is
the affair of `coe_lsp.models.merged`.

What merging earns and costs is measured by `tests/benchmarks/bench_merged.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from attrs import frozen

from coe_lsp.files import replacing
from coe_lsp.models.registry import ModelError

Floats = npt.NDArray[np.float32]
WeightType = Literal["F16", "Q8_0", "Q4_0"]
#: `general.file_type` of each type, as llama.cpp numbers them.
_FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7}


class LoraError(ModelError):
    """The file is no adapter, does not belong to the model, or the sum cannot be written."""


@frozen
class LoraPair:
    """The matrices of one layer: `a` is (rank, in), `b` (out, rank)."""

    a: Floats
    b: Floats


def read_lora(reader: Any) -> tuple[float, dict[str, LoraPair]]:
    """Alpha, and the pairs by the name of the tensor that they change, from a GGUFReader."""
    alpha = reader.fields.get("adapter.lora.alpha")
    sides: dict[str, dict[str, Floats]] = {}
    for tensor in reader.tensors:
        name, _, side = tensor.name.rpartition(".lora_")
        sides.setdefault(name, {})[side] = tensor.data.astype(np.float32)
    if alpha is None or not sides or any(pair.keys() != {"a", "b"} for pair in sides.values()):
        raise LoraError("The adapter file is not a LoRA adapter.")
    pairs = {name: LoraPair(pair["a"], pair["b"]) for name, pair in sides.items()}
    return float(alpha.contents()), pairs


def write_lora(
    target: Path, architecture: str, name: str, alpha: float, pairs: Mapping[str, LoraPair]
) -> None:
    """Write an adapter with its weights in 16 bits, all at once or not at all."""
    import gguf

    with replacing(target) as part, closing(gguf.GGUFWriter(part, architecture)) as writer:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(name)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for tensor, pair in pairs.items():
            writer.add_tensor(f"{tensor}.lora_a", pair.a.astype(np.float16))
            writer.add_tensor(f"{tensor}.lora_b", pair.b.astype(np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def matrix_shapes(reader: Any) -> dict[str, tuple[int, int]]:
    """(in, out) of each matrix of a model, by name, from a GGUFReader."""
    # GGUF names the fastest dimension first.
    return {t.name: (int(t.shape[0]), int(t.shape[1])) for t in reader.tensors if len(t.shape) == 2}


def check_lora(shapes: Mapping[str, tuple[int, int]], pairs: Mapping[str, LoraPair]) -> None:
    """LoraError if an adapter changes a matrix that the model, by its `matrix_shapes`, has not."""
    for name, pair in pairs.items():
        wanted = (pair.a.shape[1], pair.b.shape[0])
        if shapes.get(name) != wanted:
            raise LoraError(
                f"The adapter does not belong to this model: {name} is {shapes.get(name)} there "
                f"and {wanted} in the adapter."
            )


def merge_lora(
    model: Path,
    adapter: Path,
    target: Path,
    kind: WeightType,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Write `model` plus `adapter`, both GGUF files, to `target`, which appears when it is whole.

    `on_bytes` hears how many bytes of `model` were dealt with since it was called last; what it
    raises ends this. LoraError where the two do not fit each other; OSError as writing raises it.
    """
    import gguf  # only here: a repair whose merged model is there already has no need of it

    base = gguf.GGUFReader(model)
    alpha, pairs = read_lora(gguf.GGUFReader(adapter))
    check_lora(matrix_shapes(base), pairs)
    scale = alpha / next(iter(pairs.values())).a.shape[0]
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
        raise LoraError(f"The weights of {model.name} cannot be merged: {error}.") from error


def _copy_metadata(reader: Any, writer: Any, kind: WeightType) -> None:
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
