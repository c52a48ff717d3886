"""The frozen base model and its tokenizer, as the server will run it.

A GGUF (a registry name, or a file) is dequantised: what serves is what is trained. A hub repository
or a folder with transformers' own files works too, for models that no GGUF was made of yet. Context
bytes come from `coe_lsp.chain`; that the tokens are llama.cpp's own is what a test checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from attrs import field, frozen
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from coe_lsp.chain.prompt import PromptBuilder, Segment, detect_format
from coe_lsp.errors import CoeError
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import ModelError, check_gguf, resolve


class BaseError(CoeError):
    """The base model cannot be loaded."""


@frozen
class Tokenizer:
    """transformers' tokenizer, fed segment by segment as the engine feeds llama.cpp's."""

    native: Any
    format: str = field(init=False)
    bos: tuple[int, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        format = detect_format(getattr(self.native, "chat_template", None))
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "bos", tuple(self.native("").input_ids))

    def encode(self, segment: Segment) -> list[int]:
        """Tokens of one segment; only special ones may give control tokens."""
        if not segment.text:
            return []
        found = self.native(
            segment.text, add_special_tokens=False, split_special_tokens=not segment.special
        )
        return list(found.input_ids)

    def tokenize(self, segments: Iterable[Segment], *, add_bos: bool) -> list[int]:
        """Tokens of several segments."""
        tokens = list(self.bos) if add_bos else []
        for segment in segments:
            tokens += self.encode(segment)
        return tokens

    def builder(self, *, instructed: bool) -> PromptBuilder:
        """Builds the contexts of this model."""
        return PromptBuilder(detect_format(self.native.chat_template), instructed=instructed)


@frozen
class Source:
    """Where a base model's files are. `gguf` is None for transformers' own files."""

    name: str
    folder: str
    gguf: str | None
    base_key: str

    @property
    def path(self) -> Path | None:
        """The GGUF, if there is one."""
        return Path(self.folder) / self.gguf if self.gguf else None


def find_base(name: str) -> Source:
    """Locate a model, fetching it if need be. BaseError says what would work."""
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name, str(path), None, path.name.lower())
    try:
        if path.is_file():
            check_gguf(path, "model")
            known = resolve(str(path))
        elif name.count("/") == 1 and ":" not in name:
            return Source(name, name, None, name.rpartition("/")[2].lower())
        else:
            known = resolve(name)
        path = ensure(known)
    except ModelError as error:
        raise BaseError(str(error)) from error
    return Source(name, str(path.parent), path.name, known.base_key or path.stem.lower())


def load_tokenizer(source: Source) -> Tokenizer:
    """The model's tokenizer. BaseError if the hub or the files will not give it."""
    return Tokenizer(_load(AutoTokenizer, source))


def load_model(source: Source, *, dtype: torch.dtype) -> Any:
    """The model with its weights frozen, on the CPU. BaseError like `load_tokenizer`."""
    options: dict[str, Any] = {"dtype": dtype}
    if source.gguf:
        options["quantization_config"] = GgufConfig(dequantize=True)
    model = _load(AutoModelForCausalLM, source, **options)
    model.requires_grad_(False)
    model.config.use_cache = False
    return model


def _load(kind: Any, source: Source, **options: Any) -> Any:
    if source.gguf:
        options["gguf_file"] = source.gguf
    transformers.utils.logging.disable_progress_bar()
    try:
        return kind.from_pretrained(source.folder, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BaseError(
            f"{source.name} cannot be loaded ({reason}). Give a GGUF by path, the folder of a "
            "downloaded model, or a repository of the hub; gated ones need `hf auth login`."
        ) from error
