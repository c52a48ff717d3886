"""The one place that touches llama-cpp-python's untyped `ctypes` layer directly.

It imports the library, silences its log while keeping the last error lines for our own messages,
and wraps the two things that must be fast or safe: a token batch backed by numpy arrays, and a
cancellation flag that native code reads without Python. It knows nothing of sequences, sampling or
prompts. Everything handed out by `lib` is `Any`: callers turn results into typed values at once.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from coe_lsp.engine.openmp import SERVING, limit_spinning

limit_spinning(SERVING)
# Runs the package's __init__ (0.3 s beyond numpy), so import this module only when a model is used.
lib: Any = import_module("llama_cpp.llama_cpp")

_ERROR, _CONTINUED = 4, 5  # ggml_log_level; llama_cpp/_logger.py holds an older numbering
_errors: deque[str] = deque(maxlen=32)
_level = 0


def _on_log(level: int, text: bytes, _data: object) -> None:
    global _level  # noqa: PLW0603 - the native logger is itself a process-wide global
    if level != _CONTINUED:
        _level = level
    if _level == _ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())


_log_callback: Any = lib.llama_log_callback(_on_log)  # must outlive every native call


def silence() -> None:
    """Route llama.cpp's log (process-wide) to a small buffer of error lines; forget older ones."""
    lib.llama_log_set(_log_callback, ctypes.c_void_p(0))
    _errors.clear()


def last_error(default: str) -> str:
    """The most telling error line since `silence()`, without its function name, or `default`."""
    # The first line names the cause ("tensor ... is corrupted"); later ones say "failed to load".
    for line in _errors:
        cause = line.split(": ", 1)[-1].removeprefix("error loading model: ").strip()
        if cause:
            return cause
    return default


# The tests put `model_parameters` in its place, for llama-cpp-python's own class.
_default_parameters: Any = lib.llama_model_default_params


def model_parameters() -> Any:
    """The `llama_model_params` to load a model with.

    llama.cpp's products with the processor's tiles (AMX, Intel since 2023) end the process on many
    machines, in kernels of which compilers optimise a part away (ggml-org/llama.cpp#20824, pull
    26954). Weights that are not repacked do without them.
    """
    parameters = _default_parameters()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
    return parameters


def _native_strlen() -> Any:
    library = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
    return library.strlen


class AbortFlag:
    """A flag that llama.cpp polls after every graph node; settable from any thread.

    llama.cpp wants `bool (*)(void *)`. A Python function there takes the GIL some 1000 times for
    each decode, and waits for whatever other thread holds it. C's `strlen` on a two-byte buffer has
    the same calling convention and answers 0 or 1 without Python.
    """

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        self.callback: Any = ctypes.cast(_native_strlen(), lib.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        self._buffer[0] = b"\x01"

    def clear(self) -> None:
        self._buffer[0] = b"\x00"

    def is_set(self) -> bool:
        return self._buffer[0] != b"\x00"


class Batch:
    """A `llama_batch` whose arrays are numpy's, so that filling it costs a slice per sequence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._token = np.zeros(capacity, np.int32)
        self._position = np.zeros(capacity, np.int32)
        self._slot = np.zeros(capacity, np.int32)
        self._output = np.zeros(capacity, np.int8)
        self._count = np.ones(capacity, np.int32)
        # seq_id[i] is a pointer to the one slot number of token i.
        self._pointers = self._slot.ctypes.data + 4 * np.arange(capacity, dtype=np.uintp)
        int32_p = ctypes.POINTER(ctypes.c_int32)
        self._native: Any = lib.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(int32_p),
            pos=self._position.ctypes.data_as(int32_p),
            n_seq_id=self._count.ctypes.data_as(int32_p),
            seq_id=self._pointers.ctypes.data_as(ctypes.POINTER(int32_p)),
            logits=self._output.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def clear(self) -> None:
        self.size = 0

    def add(self, tokens: Sequence[int], position: int, slot: int, outputs: int) -> None:
        """Append `tokens` of sequence `slot` from `position` on; the last `outputs` give logits."""
        start, end = self.size, self.size + len(tokens)
        if end > self.capacity:
            raise ValueError("batch overflow")
        self._token[start:end] = tokens
        self._position[start:end] = np.arange(position, position + len(tokens), dtype=np.int32)
        self._slot[start:end] = slot
        self._output[start : end - outputs] = 0
        self._output[end - outputs : end] = 1
        self.size = end

    def decode(self, context: Any) -> int:
        """Run `llama_decode`; its return code (0 done, 1 no room, 2 aborted, below 0 failed)."""
        self._native.n_tokens = self.size
        return int(lib.llama_decode(context, self._native))
