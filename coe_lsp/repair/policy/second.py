"""The larger model that joins where the first one was not enough: which it is, and whether it may.

It writes whole functions (`rewriter`), as it is, without an adapter. A repair never fetches it. It
joins by itself only on a machine that is fast enough to gain by it within a minute: two cores are
not (docs/benchmarks.md). One that the user names joins on any.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from coe_lsp.cores import available_cores
from coe_lsp.models.download import cached
from coe_lsp.models.registry import resolve
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.loading import NO_MODEL, LoadedModel, ModelOptions
from coe_lsp.repair.policy.protocol import LoadedPolicy

KNOWN = "qwen2.5-coder-1.5b"
"""The larger model, unless the user names another."""

# Answers that are written at a time, and the room for all of them.
_ANSWERS, _CONTEXT_TOKENS = 8, 12288
_LEAST_CORES = 6
# How many times its file's size the machine must have in memory.
_LEAST_MEMORY = 6.0


def second_model(options: ModelOptions) -> Path | None:
    """The file of the model that may join; None if none is wanted, there, or bearable."""
    if NO_MODEL in (options.model, options.second):
        return None
    ref = resolve(options.second or KNOWN)
    file = ref.path or cached(ref)
    if file is None or ref.name == resolve(options.model).name:
        return None
    return file if options.second or is_bearable(file.stat().st_size) else None


def tell_second(options: ModelOptions) -> str:
    """Whether a larger model will join, and if not, why not, in a few words."""
    name = options.second or KNOWN
    if second_model(options) is not None:
        return f"{name} joins after ten seconds"
    if NO_MODEL in (options.model, options.second) or resolve(options.model).name == name:
        return "no larger model joins"
    ref = resolve(name)
    if ref.path is None and cached(ref) is None:
        return f"coe-lsp models pull {name} fetches a larger model that joins after ten seconds"
    return f"{name} does not join unless it is named: too few cores, no GPU, or too little memory"


def is_bearable(size: int) -> bool:
    """Whether this machine has the memory and the speed for a model of so many bytes."""
    return _memory() >= _LEAST_MEMORY * size and (available_cores() >= _LEAST_CORES or _offloads())


def load_second(file: Path, seed: int = 0) -> LoadedModel:
    """Load the weights. ModelError if that fails."""
    used = ModelUsed(file.name.removesuffix(".gguf"), "", None)
    return LoadedModel(
        file, None, used, samples=_ANSWERS, seed=seed, context_tokens=_CONTEXT_TOKENS
    )


@contextmanager
def rewriter(file: Path, seed: int = 0) -> Generator[LoadedPolicy]:
    """Load the weights for one repair; free them at the end."""
    model = load_second(file, seed)
    try:
        with model.rewriter() as policy:
            yield policy
    finally:
        model.close()


def _memory() -> int:
    """Bytes of the machine's memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        return 0


def _offloads() -> bool:
    """Whether llama.cpp was built for a GPU."""
    from coe_lsp.engine.binding import lib

    return bool(lib.llama_supports_gpu_offload())
