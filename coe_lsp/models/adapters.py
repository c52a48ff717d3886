"""Which LoRA adapter goes with a base model.

Adapters ship as GGUF files in `coe_lsp/weights/`, named `<base_key>-coe-v<N>.gguf` after the base
model that they were trained on. This module finds them; it does not load them, and it cannot tell
whether a file that the user names fits the model: llama.cpp checks the tensors when it loads it.
"""

import re
from importlib import resources
from pathlib import Path

from coe_lsp.folders import expanded
from coe_lsp.models.registry import ModelError, check_gguf


class AdapterError(ModelError):
    """An adapter that the user named cannot be used."""


def weights_folder() -> Path:
    """Return the folder of the adapters that the package ships."""
    return Path(str(resources.files("coe_lsp"))) / "weights"


def find_adapter(base_key: str, folder: Path | None = None) -> Path | None:
    """Return the adapter with the highest version for a base model, or None where there is none."""
    name = re.compile(rf"{re.escape(base_key)}-coe-v(\d+)\.gguf")
    folder = folder or weights_folder()
    found: list[tuple[int, Path]] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := name.fullmatch(path.name):
            found.append((int(match[1]), path))
    return max(found)[1] if found else None


def resolve_adapter(
    option: str | None, base_key: str | None, folder: Path | None = None
) -> Path | None:
    """Turn the user's `--adapter` into a file, or None for the bare model.

    `option` is a path, `none`, or None, which picks the shipped adapter of the base model if there
    is one. Raises `AdapterError` where the named file is missing and `NotGgufError` where it does
    not hold GGUF data.
    """
    if option is None:
        return find_adapter(base_key, folder) if base_key is not None else None
    if option.lower() == "none":
        return None
    path = expanded(option)
    if not path.is_file():
        raise AdapterError(
            f"There is no adapter file {option}: give the path of a GGUF file, or 'none'."
        )
    check_gguf(path, "adapter")
    return path.resolve()
