"""Fixtures of the training tests: they need the extra `train`."""

import copy

import pytest

gguf = pytest.importorskip("gguf", reason="needs pip install '.[test,train]'")
torch = pytest.importorskip("torch", reason="needs pip install '.[test,train]'")

LAYERS = 2
# Two tests at once would otherwise fight for the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_gguf(small_model, tmp_path_factory):
    """The small model's first two layers, with its real vocabulary: loads and runs in no time."""
    reader = gguf.GGUFReader(small_model)
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = LAYERS if field.name == "llama.block_count" else field.contents()
        writer.add_key_value(field.name, value, kind, sub_type=inner)
    for tensor in reader.tensors:
        if tensor.name.startswith("blk.") and int(tensor.name.split(".")[1]) >= LAYERS:
            continue
        weights = gguf.dequantize(tensor.data, tensor.tensor_type)
        kind = "float32" if weights.ndim == 1 else "float16"
        writer.add_tensor(tensor.name, weights.astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_gguf):
    from training.model.base import load_tokenizer
    from training.model.source import find_base

    return load_tokenizer(find_base(str(tiny_gguf)))


@pytest.fixture(scope="session")
def tiny_base(tiny_gguf):
    from training.model.base import load_model
    from training.model.source import find_base

    return load_model(find_base(str(tiny_gguf)), dtype=torch.float32)


@pytest.fixture(scope="session")
def tiny_native(tiny_gguf, tiny_base, tmp_path_factory):
    """The tiny model as a repository of the hub would have it: transformers' own files."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("hub") / "tiny-native"
    tiny_base.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def tiny_model(tiny_base):
    """A new model under training; the same each time."""
    from training.model.policy_model import PolicyModel
    from training.settings import Lora

    torch.manual_seed(0)
    return PolicyModel(copy.deepcopy(tiny_base), Lora())


@pytest.fixture(scope="session")
def task():
    from training.tasks.tasks import Task

    return Task(
        task_id="toy/above",
        prompt="Count the values above a limit.",
        setup="import math",
        reference=(
            "def above(values, limit):\n"
            "    total = 0\n"
            "    for value in values:\n"
            "        if value > limit:\n"
            "            total += 1\n"
            "    return total"
        ),
        tests=("assert above([1, 2, 3], 2) == 1", "assert above([], 0) == 0"),
        entry_point="above",
    )


@pytest.fixture
def tiny_adapter(tiny_gguf, tiny_model, tmp_path_factory):
    """A new adapter for the tiny model, as GGUF."""
    from training.model.checkpoint import save_adapter
    from training.model.export import export_adapter

    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(folder / "new", tiny_model)
    export_adapter(folder / "new", tiny_gguf, folder / "new.gguf")
    return folder / "new.gguf"


@pytest.fixture
def toy(tiny_tokenizer):
    from training_toys import toy_records

    from training.model.encode import encode

    builder = tiny_tokenizer.builder(instructed=False)
    return [encode(record.episode, tiny_tokenizer, builder) for record in toy_records(24)]
