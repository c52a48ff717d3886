"""The base model on its way to a rented machine: as its GGUF, and dequantised there.

Quantised it is a third of what it is in bfloat16, and carrying is what takes long. The GGUF is
unpacked once, on the machine, into transformers' own files, which every slice then loads. The
tokenizer goes along in transformers' form.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from coe_lsp.chain.prompt import Segment
from training.model.source import BaseSource
from training.pipeline.config import ConfigError

_WEIGHTS = "weights.gguf"


def carry_base(source: BaseSource, inside: Path) -> str:
    """Put the base's GGUF and tokenizer into a folder there; its name, which adapters take.

    Where transformers' tokenizer says other tokens than the one that serves, the vocabulary goes
    along, and llama-cpp-python is needed there.
    """
    from transformers import AutoConfig, AutoTokenizer

    from training.model.base import VOCABULARY, load_tokenizer

    name = source.base_key
    folder = inside / name
    if source.path is None:
        raise ConfigError(f"{source.name} has no GGUF: name the model by what will serve it.")
    folder.mkdir(parents=True)
    shutil.copy(source.path, folder / _WEIGHTS)
    AutoConfig.from_pretrained(source.folder, gguf_file=source.gguf).save_pretrained(folder)
    native = AutoTokenizer.from_pretrained(source.folder, gguf_file=source.gguf)
    served = load_tokenizer(source)
    native.chat_template = native.chat_template or None
    native.save_pretrained(folder)
    carried = load_tokenizer(BaseSource(name, str(folder), None, name))
    texts = [segment for path in _sources() for segment in _segments(path)]
    same = served.format == carried.format and served.bos == carried.bos
    if not same or any(served.encode(s) != carried.encode(s) for s in texts):
        _write_vocabulary(source.path, folder / VOCABULARY)
    return name


def unpack_base(folder: Path) -> None:
    """Dequantise what was carried into bfloat16; does nothing if it was done."""
    import torch

    from training.model.base import load_model

    weights = folder / _WEIGHTS
    if not weights.exists():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    source = BaseSource(folder.name, str(folder), weights.name, folder.name)
    load_model(source, dtype=torch.bfloat16).save_pretrained(part)
    for path in part.iterdir():
        path.replace(folder / path.name)
    part.rmdir()
    weights.unlink()  # last: until here a kill changes nothing


def _sources() -> Iterator[Path]:
    """Python files to compare tokenizers on: this package's own."""
    package = Path(__file__).parents[1]
    yield from sorted(package.rglob("*.py"))


def _segments(path: Path) -> Iterator[Segment]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield Segment(f"### REPL {len(line)} >>>{line}\n{len(line):>4} {line}")


def _write_vocabulary(source: Path, target: Path) -> None:
    """A GGUF's metadata without its weights."""
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
