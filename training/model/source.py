"""Where the files of a base model are. Loads nothing; what is loaded of them is in `base.py`.

Imports nothing heavy, so that a wrong name is told at once.
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.folders import expanded
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import ModelError, check_gguf, resolve


class BaseError(CoeError):
    """The base model cannot be loaded."""


@frozen
class BaseSource:
    """Where a base model's files are. `gguf` is None for transformers' own files.

    `merges`: an adapter is merged into it to be served.
    """

    name: str
    folder: str
    gguf: str | None
    base_key: str
    merges: bool = False

    @property
    def path(self) -> Path | None:
        """The GGUF, if there is one."""
        return Path(self.folder) / self.gguf if self.gguf else None

    @property
    def files(self) -> Path | str:
        """The GGUF, or the folder or repository of transformers' own files."""
        return self.path or self.folder


def find_base(name: str) -> BaseSource:
    """Locate a model, fetching it if need be. BaseError says what would work."""
    path = expanded(name)
    if path.is_dir():
        return BaseSource(name, str(path), None, path.name.lower())
    try:
        if path.is_file():
            check_gguf(path, "model")
            known = resolve(str(path))
        elif name.count("/") == 1 and ":" not in name:
            return BaseSource(name, name, None, name.rpartition("/")[2].lower())
        else:
            known = resolve(name)
        path = ensure(known)
    except ModelError as error:
        raise BaseError(str(error)) from error
    key = known.base_key or path.stem.lower()
    return BaseSource(name, str(path.parent), path.name, key, merges=known.merges)
