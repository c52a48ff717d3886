"""The larger model that joins where the first one was not enough: which it is, and whether it may.

It writes whole functions (`rewriter`), as it is, without an adapter. A repair never fetches it. It
joins by itself only where that is worth its memory: on two cores a few answers take a minute. One
that the user names joins on any machine.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from coe_lsp.cores import available_cores
from coe_lsp.models.download import cached, location
from coe_lsp.models.registry import ModelRef, resolve
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.loading import NO_MODEL, LoadedModel, ModelOptions
from coe_lsp.repair.policy.protocol import LoadedPolicy

KNOWN = "qwen2.5-coder-1.5b"
"""The larger model, unless the user names another."""

# Answers that are written at a time, and the room for all of them.
_ANSWERS, _CONTEXT_TOKENS = 8, 12288
_LEAST_CORES = 6
_GPUS = ("cuda", "metal", "vulkan", "hip", "sycl", "musa")
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
# How many times its file's size the machine must have in memory.
_LEAST_MEMORY = 7.0


def second_model(options: ModelOptions) -> ModelRef | None:
    """The model that may join; None if none is wanted, there, or bearable."""
    if NO_MODEL in (options.model, options.second):
        return None
    ref = resolve(options.second or KNOWN)
    file = ref.path or cached(ref)
    if file is None or ref.name == resolve(options.model).name:
        return None
    return ref if options.second or is_bearable(file.stat().st_size) else None


def tell_second(options: ModelOptions) -> str:
    """Whether a larger model will join, and if not, why not, in a few words."""
    if NO_MODEL in (options.model, options.second):
        return "no larger model joins"
    ref = resolve(options.second or KNOWN)
    if ref.name == resolve(options.model).name:
        return "no larger model joins"
    if second_model(options) is not None:
        return f"{ref.name} joins after ten seconds"
    if ref.path is None and cached(ref) is None:
        return f"coe-lsp models pull {ref.name} fetches a larger model that joins after ten seconds"
    return f"{ref.name} joins only if it is named: too few cores, no GPU, or too little memory"


def is_bearable(size: int) -> bool:
    """Whether this machine has the memory and the speed for a model of so many bytes."""
    return _memory() >= _LEAST_MEMORY * size and (available_cores() >= _LEAST_CORES or _offloads())


def load_second(ref: ModelRef, seed: int = 0) -> LoadedModel:
    """Load the weights. ModelError if that fails."""
    used = ModelUsed(ref.name, ref.sha256 or "", None)
    file = location(ref)
    return LoadedModel(
        file, None, used, samples=_ANSWERS, seed=seed, context_tokens=_CONTEXT_TOKENS
    )


@contextmanager
def rewriter(ref: ModelRef, seed: int = 0) -> Generator[LoadedPolicy]:
    """Load the weights for one repair; free them at the end."""
    with closing(load_second(ref, seed)) as model, model.rewriter() as policy:
        yield policy


def _memory() -> int:
    """Bytes of memory that this machine or container has; 0 where the system does not say."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        return 0
    try:
        return min(machine, int(_CONTAINER.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or no limit
        return machine


def _offloads() -> bool:
    """Whether llama.cpp was built for a GPU, by its libraries: to load them takes a while."""
    found = find_spec("llama_cpp")
    folders = found.submodule_search_locations if found else None
    names = [file.name for folder in folders or () for file in Path(folder, "lib").glob("*ggml-*")]
    return any(kind in name for name in names for kind in _GPUS)
