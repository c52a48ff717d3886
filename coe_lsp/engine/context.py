"""A loaded model and its key-value cache: the native half of the engine.

One llama.cpp context with a unified cache of `cells` (one cell is one token; a prefix shared by
several slots is stored once). Slots are llama.cpp's sequence ids. This file keeps the cache and our
count of free cells true to each other also when a decode fails or is aborted; it does no scheduling
and no sampling, and it trusts its caller to be on the right thread.

Chosen by measurement on two cores (SmolLM2-135M Q4_1, Qwen2.5-Coder-0.5B Q4_K_M): micro-batches of
128 tokens read a prompt as fast as 512 and can be aborted four times as soon; flash attention off
decodes 32 sequences 10 to 20 % faster and costs a few percent of prefill; 16-bit keys and values
(8-bit: slower; 32-bit: no gain).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, frozen

from coe_lsp.engine.binding import AbortFlag, Batch, last_error, lib, model_parameters, silence
from coe_lsp.engine.sampler import Row
from coe_lsp.engine.vocabulary import Vocabulary
from coe_lsp.errors import CoeError

BATCH_TOKENS = 128
SCORE_OUTPUTS = 64
_NO_ROOM, _ABORTED, _INTERRUPTED = 1, 2, 99  # the last is ours: a Python exception


class EngineError(CoeError):
    """The model cannot be loaded or used as asked."""


class Cancelled(CoeError):
    """`Engine.cancel` was called; all jobs were dropped."""


@frozen
class LoadedVocabulary:
    """The vocabulary of a model whose weights were not loaded; lives as long as the process."""

    vocabulary: Vocabulary
    chat_template: str | None


def load_vocabulary(path: Path) -> LoadedVocabulary:
    """Read only what text needs to become tokens. EngineError if the file is no model."""
    silence()
    lib.llama_backend_init()
    parameters = lib.llama_model_default_params()
    parameters.vocab_only = True
    model = lib.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise EngineError(f"Cannot load the model {path}: {last_error('llama.cpp says not why')}.")
    return LoadedVocabulary(Vocabulary(model), _template(model))


def _template(model: Any) -> str | None:
    template = lib.llama_model_chat_template(model, None)
    return template.decode("utf-8", "replace") if template else None


@define
class Slot:
    """One llama.cpp sequence: its id and the cache cells it holds, one for each position."""

    id: int
    cells: list[int]


@frozen
class Piece:
    """Tokens to decode: the continuation of one slot, of which the last `outputs` give logits."""

    slot: Slot
    tokens: Sequence[int]
    outputs: int


class Context:
    """Model, adapter and cache. `close` frees all of it."""

    def __init__(
        self, model_path: Path, adapter: Path | None, cells: int, slots: int, threads: int
    ) -> None:
        if not 1 <= slots <= BATCH_TOKENS:
            raise EngineError(f"Between 1 and {BATCH_TOKENS} sequences are possible, not {slots}.")
        self.abort = AbortFlag()
        self.handle: Any = None
        self._model: Any = None
        silence()
        lib.llama_backend_init()
        try:
            self._load(model_path)
            self._create(cells, slots, threads)
            if adapter is not None:
                self._adapt(adapter)
        except BaseException:
            self.close()
            raise
        self._memory: Any = lib.llama_get_memory(self.handle)
        self._batch = Batch(BATCH_TOKENS)
        self.cells = int(lib.llama_n_ctx(self.handle))
        self._references = [0] * self.cells
        self._free_cells = list(range(self.cells))
        self._free_slots = list(range(slots - 1, -1, -1))

    def close(self) -> None:
        if self.handle:
            lib.llama_free(self.handle)
        if self._model:
            lib.llama_model_free(self._model)  # and its adapters
        self.handle = self._model = None

    def _load(self, path: Path) -> None:
        self._model = lib.llama_model_load_from_file(str(path).encode(), model_parameters())
        if not self._model:
            why = last_error("llama.cpp gives no reason")
            raise EngineError(f"Cannot load the model {path}: {why}.")
        self.vocabulary = Vocabulary(self._model)
        self.trained_tokens = int(lib.llama_model_n_ctx_train(self._model))
        self.chat_template = _template(self._model)
        self.name = self._metadata("general.name") or path.stem

    def _create(self, cells: int, slots: int, threads: int) -> None:
        parameters = lib.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
        parameters.n_seq_max = slots
        parameters.n_outputs_max = max(slots, SCORE_OUTPUTS)
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.kv_unified = True
        parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.abort_callback = self.abort.callback
        parameters.abort_callback_data = self.abort.data
        parameters.no_perf = True
        self.handle = lib.llama_init_from_model(self._model, parameters)
        if not self.handle:
            why = last_error("is there enough memory?")
            raise EngineError(f"Cannot make a context of {cells} tokens: {why}.")

    def _adapt(self, path: Path) -> None:
        silence()
        adapter = lib.llama_adapter_lora_init(self._model, str(path).encode())
        if not adapter:
            why = last_error("was it trained for another model?").removeprefix(
                "failed to apply lora adapter: "
            )
            raise EngineError(f"The adapter {path} cannot be used with {self.name}: {why}.")
        adapters = (lib.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        if lib.llama_set_adapters_lora(self.handle, adapters, 1, scales) != 0:
            raise EngineError(f"The adapter {path} cannot be used with {self.name}.")

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(512)
        length = int(lib.llama_model_meta_val_str(self._model, key.encode(), buffer, 512))
        return buffer.value.decode("utf-8", "replace") if length > 0 else ""

    # -- the cache

    def full(self) -> EngineError:
        """The error to raise when there is no room."""
        return EngineError(
            f"The context of {self.cells} tokens is full; release sequences, or load the model "
            "with a larger context."
        )

    @property
    def free_cells(self) -> int:
        return len(self._free_cells)

    @property
    def free_slots(self) -> int:
        return len(self._free_slots)

    def open_slot(self) -> Slot:
        if not self._free_slots:
            raise EngineError("All sequences of the engine are in use; release some first.")
        return Slot(self._free_slots.pop(), [])

    def copy(self, source: Slot, end: int) -> Slot:
        """A new slot that shares the first `end` cells of `source`: metadata only."""
        slot = self.open_slot()
        lib.llama_memory_seq_cp(self._memory, source.id, slot.id, 0, end)
        slot.cells = source.cells[:end]
        for cell in slot.cells:
            self._references[cell] += 1
        return slot

    def trim(self, slot: Slot, end: int) -> None:
        """Forget the positions of `slot` from `end` on."""
        if end >= len(slot.cells):
            return
        lib.llama_memory_seq_rm(self._memory, slot.id, end, -1)
        for cell in slot.cells[end:]:
            self._references[cell] -= 1
            if not self._references[cell]:
                self._free_cells.append(cell)
        del slot.cells[end:]

    def close_slot(self, slot: Slot) -> None:
        self.trim(slot, 0)
        self._free_slots.append(slot.id)

    def decode(self, pieces: Sequence[Piece]) -> Row:
        """Decode at most `BATCH_TOKENS` tokens; logits of shape (outputs in order, vocabulary).

        The array is llama.cpp's own buffer, valid until the next call. On `Cancelled` and
        `EngineError` every slot is as it was.
        """
        if self.abort.is_set():
            raise Cancelled("Cancelled.")
        self._batch.clear()
        for piece in pieces:
            self._batch.add(piece.tokens, len(piece.slot.cells), piece.slot.id, piece.outputs)
        code = _INTERRUPTED
        try:
            fits = self._batch.size <= self.free_cells
            code = self._batch.decode(self.handle) if fits else _NO_ROOM
        finally:
            if code != 0:
                for piece in pieces:
                    lib.llama_memory_seq_rm(self._memory, piece.slot.id, len(piece.slot.cells), -1)
        if code != 0:
            if code == _ABORTED:
                raise Cancelled("Cancelled.")
            if code == _NO_ROOM:
                raise self.full()
            raise EngineError(f"llama.cpp failed to evaluate the text: {last_error(str(code))}.")
        for piece in pieces:
            taken = self._free_cells[-len(piece.tokens) :]
            del self._free_cells[-len(piece.tokens) :]
            for cell in taken:
                self._references[cell] = 1
            piece.slot.cells += taken
        outputs = sum(piece.outputs for piece in pieces)
        if not outputs:
            return np.empty((0, self.vocabulary.size), np.float32)
        pointer = lib.llama_get_logits(self.handle)
        return np.ctypeslib.as_array(pointer, (outputs, self.vocabulary.size))
