"""The frozen base model and its tokenizer, as the server will run it.

A GGUF (a registry name, or a file) is dequantised: what serves is what is trained. A hub repository
or a folder with transformers' own files works too, for models that no GGUF was made of yet. Context
bytes come from `coe_lsp.chain`, tokens from llama.cpp where there is a GGUF.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

from coe_lsp.chain.prompt import ChatFormat, PromptBuilder, Segment, detect_format
from training.model.source import BaseError, BaseSource

#: A GGUF without weights beside transformers' own files.
VOCABULARY = "vocabulary.gguf"


class Tokenizer:
    """Text to tokens, segment by segment as the engine does it.

    `encode` gets a text and whether control tokens are allowed in it, `decode` leaves them out.
    """

    def __init__(
        self,
        encode: Callable[[str, bool], list[int]],
        decode: Callable[[Sequence[int]], str],
        format: ChatFormat,
        bos: Sequence[int],
        eos: int | None,
    ) -> None:
        self._encode = encode
        self.decode = decode
        self.format: ChatFormat = format
        #: What every context begins with; empty for Qwen2.5 and SmolLM2.
        self.bos = tuple(bos)
        self._eos = eos

    @property
    def answer_ends(self) -> tuple[int, ...]:
        """Tokens that end an answer of several lines: the end of the text, and of a turn."""
        end = self.builder(instructed=False).command_end
        turn = [self.encode(end)[0]] if end.special else []  # a line end ends no answer
        return tuple(dict.fromkeys([*turn, *([self._eos] if self._eos is not None else [])]))

    def encode(self, segment: Segment) -> list[int]:
        """Tokens of one segment; only special ones may give control tokens."""
        return self._encode(segment.text, segment.special) if segment.text else []

    def tokenize(self, segments: Iterable[Segment], *, add_bos: bool) -> list[int]:
        """Tokens of several segments."""
        tokens = list(self.bos) if add_bos else []
        for segment in segments:
            tokens += self.encode(segment)
        return tokens

    def builder(self, *, instructed: bool) -> PromptBuilder:
        """Builds the contexts of this model."""
        return PromptBuilder(self.format, instructed=instructed)


def load_tokenizer(source: BaseSource) -> Tokenizer:
    """The model's tokenizer. BaseError if the hub or the files will not give it.

    Of a GGUF it is llama.cpp's own: what transformers reads from it differs (for SmolLM2 in blanks
    before digits). So a folder may have a GGUF of the vocabulary alone, `vocabulary.gguf`.
    """
    vocabulary_file = source.path or Path(source.folder) / VOCABULARY
    if vocabulary_file.is_file():
        from coe_lsp.engine.context import load_vocabulary

        loaded = load_vocabulary(vocabulary_file)
        vocabulary = loaded.vocabulary
        return Tokenizer(
            lambda text, special: vocabulary.encode(text.encode(), special=special),
            vocabulary.detokenize,
            detect_format(loaded.chat_template),
            vocabulary.tokenize([], add_bos=True),
            vocabulary.end_of_text,
        )
    native = _load(AutoTokenizer, source)

    def encode(text: str, special: bool) -> list[int]:
        found = native(text, add_special_tokens=False, split_special_tokens=not special)
        return list(found.input_ids)

    return Tokenizer(
        encode,
        lambda tokens: native.decode(tokens, skip_special_tokens=True),
        detect_format(native.chat_template),
        native("").input_ids,
        native.eos_token_id,
    )


def choose_dtype(name: Literal["auto", "float32", "bfloat16"], *, gpu: bool) -> str:
    """The name of the weights' type; `auto` tries which one this processor multiplies faster."""
    if name != "auto":
        return name
    faster = gpu or _seconds(torch.bfloat16) < _seconds(torch.float32)
    return "bfloat16" if faster else "float32"


def _seconds(dtype: torch.dtype) -> float:
    """What one product of matrices of a layer's size takes: the best of a few."""
    one, two = torch.ones(512, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        torch.nn.functional.linear(one, two)
        times.append(time.perf_counter() - began)
    return min(times)


def load_model(source: BaseSource, *, dtype: torch.dtype) -> Any:
    """The model with its weights frozen, on the CPU. BaseError like `load_tokenizer`.

    Attention is not left to cuDNN, for the whole process: with padded batches its gradients became
    NaN within 20 steps on an H100 (PyTorch 2.11), those of the other kernels never in 1400.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    options: dict[str, Any] = {"dtype": dtype}
    if source.gguf:
        options["quantization_config"] = GgufConfig(dequantize=True)
    model = _load(AutoModelForCausalLM, source, **options)
    # A repository may bring its own way of sampling, with a penalty for repetitions, say.
    model.generation_config = GenerationConfig()
    model.requires_grad_(False)
    model.config.use_cache = False
    return model


def _load(kind: Any, source: BaseSource, **options: Any) -> Any:
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
