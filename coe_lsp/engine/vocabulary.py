"""Text to tokens and back, for one loaded model.

Each prompt segment is tokenised on its own, and only segments marked special may turn into control
tokens: source code that contains `<|im_end|>` stays text. Exact for byte-level BPE vocabularies
(Qwen2.5, SmolLM2, Llama 3). SentencePiece vocabularies put a space before each segment; they work,
but their prompts are not byte for byte what was asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

from coe_lsp.engine.binding import lib


class SegmentLike(Protocol):
    """A piece of prompt; `special` allows control tokens in it."""

    @property
    def text(self) -> str: ...
    @property
    def special(self) -> bool: ...


class Vocabulary:
    """The tokenizer of a loaded model; valid only as long as the model is."""

    def __init__(self, model: Any) -> None:
        self.handle: Any = lib.llama_model_get_vocab(model)
        self.size = int(lib.llama_vocab_n_tokens(self.handle))
        self._bos = int(lib.llama_vocab_bos(self.handle))
        self._adds_bos = bool(lib.llama_vocab_get_add_bos(self.handle))
        self._pieces: dict[int, bytes | None] = {}

    @property
    def end_of_text(self) -> int | None:
        """The token that ends a text, if the vocabulary has one."""
        token = int(lib.llama_vocab_eos(self.handle))
        return token if token >= 0 else None

    def tokenize(self, segments: Iterable[SegmentLike], *, add_bos: bool) -> list[int]:
        """Tokens of the segments in order.

        `add_bos` puts the begin-of-text token first if the model wants one (Llama 3 does, Qwen2.5
        and SmolLM2 do not), so pass True for the opening of a context and False for what follows.
        """
        tokens = [self._bos] if add_bos and self._adds_bos else []
        for segment in segments:
            tokens += self.encode(segment.text.encode("utf-8", "replace"), special=segment.special)
        return tokens

    def encode(self, text: bytes, *, special: bool = False) -> list[int]:
        """Tokens of one piece of text, with nothing added."""
        if not text:
            return []
        room = len(text) + 2  # no vocabulary needs more tokens than bytes, but for a space before
        buffer = (ctypes.c_int32 * room)()
        count = int(lib.llama_tokenize(self.handle, text, len(text), buffer, room, False, special))
        if count < 0:
            raise ValueError(f"cannot tokenize {len(text)} bytes of text")
        return buffer[:count]

    def detokenize(self, tokens: Iterable[int]) -> str:
        """The text of the tokens, without control tokens; broken UTF-8 becomes U+FFFD."""
        return b"".join(self.piece(token) or b"" for token in tokens).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes | None:
        """The bytes a token stands for; None for end-of-generation and other control tokens."""
        try:
            return self._pieces[token]
        except KeyError:
            piece = self._pieces[token] = self._look_up(token)
            return piece

    def _look_up(self, token: int) -> bytes | None:
        if lib.llama_vocab_is_eog(self.handle, token) or lib.llama_vocab_is_control(
            self.handle, token
        ):
            return None
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = int(lib.llama_token_to_piece(self.handle, token, buffer, room, 0, False))
            if length >= 0:
                return buffer.raw[:length]
            room = -length
