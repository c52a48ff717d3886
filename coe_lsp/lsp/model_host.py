"""Keeps the models in memory from one repair to the next, and frees them after a while without any.

llama.cpp's context belongs to one thread: everything here is called on the repair thread. A model
that is not on this machine is fetched only if the user agrees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from coe_lsp.errors import CoeError

if TYPE_CHECKING:
    from coe_lsp.models.registry import ModelRef
    from coe_lsp.models.sources.fetch import ProgressSink
    from coe_lsp.repair.policy.loading import LoadedModel, ModelOptions
    from coe_lsp.repair.policy.protocol import LoadedPolicy

Consent = Callable[["ModelRef"], bool]
"""Asks the user whether a model may be fetched."""


class ModelDeclined(CoeError):
    """The user does not want the model fetched."""


@frozen
class _Key:
    """What makes a loaded model the wanted one; a file that was written anew is another one."""

    options: ModelOptions
    files: tuple[tuple[Path, int, int], ...]


class ModelHost:
    """The model that is loaded, if one is, and the larger one beside it."""

    def __init__(self) -> None:
        self._model: LoadedModel | None = None
        self._key: _Key | None = None
        self._second: LoadedModel | None = None
        self._second_files: tuple[tuple[Path, int, int], ...] = ()
        self._used = time.monotonic()

    @contextmanager
    def lease(
        self, options: ModelOptions, ask: Consent, progress: ProgressSink
    ) -> Generator[LoadedPolicy]:
        """A policy of the wanted model, which is loaded if it is not there or has changed.

        Raises ModelDeclined, and whatever keeps a model from being loaded (ModelError).
        """
        model = self._wanted(options, ask, progress)
        try:
            with model.policy() as policy:
                yield policy
        except CoeError:
            raise
        except Exception:
            self.close()  # nobody knows what state it is in
            raise
        finally:
            self._used = time.monotonic()

    @contextmanager
    def lease_second(self, ref: ModelRef) -> Generator[LoadedPolicy]:
        """A policy of a larger model, as `lease`; ModelError if it cannot be loaded."""
        from coe_lsp.models.download import location
        from coe_lsp.repair.policy.second import load_second

        files = _stats((location(ref),))
        if self._second is None or files != self._second_files:
            self._close_second()
            self._second, self._second_files = load_second(ref), files
        try:
            with self._second.rewriter() as policy:
                yield policy
        except CoeError:
            raise
        except Exception:
            self._close_second()
            raise
        finally:
            self._used = time.monotonic()

    def at_hand(self, options: ModelOptions) -> bool:
        """Whether a model for these options is in memory."""
        return self._key is not None and self._key.options == options

    def close(self) -> None:
        """Free the models."""
        model, self._model, self._key = self._model, None, None
        if model is not None:
            model.close()
        self._close_second()

    def _close_second(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.close()

    def close_if_idle(self, seconds: float) -> bool:
        """Free the models if that long nobody has used them; True if something was freed."""
        nothing = self._model is None and self._second is None
        if nothing or time.monotonic() - self._used < seconds:
            return False
        self.close()
        return True

    def _wanted(self, options: ModelOptions, ask: Consent, progress: ProgressSink) -> LoadedModel:
        from coe_lsp.models.adapters import resolve_adapter
        from coe_lsp.models.download import cached, location
        from coe_lsp.models.registry import resolve
        from coe_lsp.repair.policy.loading import load_model

        ref = resolve(options.model)
        adapter = resolve_adapter(options.adapter, ref.base_key)
        if ref.path is None and cached(ref) is None and not ask(ref):
            raise ModelDeclined(
                f"{ref.name} is not on this machine and was not fetched. "
                f"`coe-lsp models pull {ref.name}` does it, or set coe.model to a GGUF file."
            )
        files = (location(ref), *([adapter] if adapter else []))
        key = _key(options, files)
        if self._model is None or key != self._key:
            self.close()
            self._model = load_model(options, progress)
            self._key = _key(options, files)
        return self._model


def _key(options: ModelOptions, files: tuple[Path, ...]) -> _Key:
    return _Key(options, _stats(files))


def _stats(files: tuple[Path, ...]) -> tuple[tuple[Path, int, int], ...]:
    stats = [(file, file.stat()) for file in files if file.exists()]
    return tuple((file, s.st_mtime_ns, s.st_size) for file, s in stats)
