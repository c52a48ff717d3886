"""From a model's name to a policy that answers: weights, adapter, engine and prompt together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from coe_lsp.chain.prompt import PromptBuilder, detect_format
from coe_lsp.errors import CoeError
from coe_lsp.models.adapters import resolve_adapter
from coe_lsp.models.download import cached, ensure
from coe_lsp.models.merged import ensure_merged, merged_path
from coe_lsp.models.registry import resolve
from coe_lsp.models.sources.fetch import ProgressSink
from coe_lsp.repair.outcome import ModelUsed
from coe_lsp.repair.policy.protocol import LoadedPolicy

NO_MODEL = "none"
_CONTEXT_TOKENS = 32768
# Sequences beside those that are written: the opening, states to go on from or waiting for the
# tests, lines being scored.
_KEPT_STATES = 32
# Seconds for mutations alone: what they repair needs no model, and no question about a download.
_START_BEFORE_LOADING, _START_BEFORE_FETCHING = 0.5, 10.0


@frozen
class ModelOptions:
    """Which weights to use; None stands for the default model and for the shipped adapter.

    The model `none` is none: mutations are all that is tried. `merge`: an adapter is merged into a
    model of the registry, once, in the cache folder. `second` is a larger model that writes whole
    functions; None stands for the one that is known, if it is on a machine that allows it.
    """

    model: str | None = None
    adapter: str | None = None
    samples: int = 16
    seed: int = 0
    merge: bool = True
    second: str | None = None

    @property
    def without_model(self) -> bool:
        """Whether no model is wanted."""
        return self.model == NO_MODEL


def check(options: ModelOptions) -> None:
    """Raise what is wrong with the names of model and adapter, before anything long is done."""
    if not options.without_model:
        resolve_adapter(options.adapter, resolve(options.model).base_key)
        if options.second not in (None, NO_MODEL):
            ref = resolve(options.second)
            if ref.path is None and cached(ref) is None:
                raise CoeError(f"{ref.name} is not here yet: run coe-lsp models pull {ref.name}.")


def head_start(options: ModelOptions) -> float:
    """Seconds that mutations should have before a model that is not in memory is loaded."""
    if options.without_model:
        return 0.0
    ref = resolve(options.model)
    adapter = resolve_adapter(options.adapter, ref.base_key)
    file = ref.path or cached(ref)
    if file is None:
        return _START_BEFORE_FETCHING
    merges = options.merge and ref.merges
    if adapter is not None and merges and not merged_path(file, adapter).exists():
        return _START_BEFORE_FETCHING
    return _START_BEFORE_LOADING


class LoadedModel:
    """Weights in memory, for one repair after the other. All calls from one thread."""

    def __init__(
        self,
        file: Path,
        beside: Path | None,
        used: ModelUsed,
        *,
        samples: int = 16,
        seed: int = 0,
        context_tokens: int = _CONTEXT_TOKENS,
    ) -> None:
        """Load a GGUF, with an adapter `beside` it unless that is merged into it."""
        from coe_lsp.engine.engine import Engine  # llama.cpp: only when it is needed

        self._seed, self._samples = seed, samples
        self._engine = Engine(
            file,
            adapter=beside,
            context_tokens=context_tokens,
            max_sequences=samples + _KEPT_STATES,
        )
        #: What was last read stays in memory: the next task's beginning is mostly the same.
        self._opening = self._engine.sequence()
        self._used = used

    @contextmanager
    def policy(self) -> Generator[LoadedPolicy]:
        """A fresh policy; what it keeps in the engine is dropped at the end."""
        from coe_lsp.repair.policy.llama import LlamaPolicy

        # A trained adapter knows the task; an untrained model has to be shown.
        trained = self._used.adapter is not None
        builder = PromptBuilder(detect_format(self._engine.chat_template), instructed=not trained)
        self._engine.clear_cancel()  # an interrupt of the repair before is not meant for this one
        policy = LlamaPolicy(self._engine, builder, seed=self._seed, opening=self._opening)
        try:
            yield LoadedPolicy(policy, self._used, trained, judge=policy)
        finally:
            policy.close()

    @contextmanager
    def rewriter(self) -> Generator[LoadedPolicy]:
        """A policy that writes whole functions with these weights, as they are."""
        from coe_lsp.repair.policy.rewriter import Rewriter

        self._engine.clear_cancel()
        format = detect_format(self._engine.chat_template)
        policy = Rewriter(self._engine, format, answers=self._samples, seed=self._seed)
        try:
            yield LoadedPolicy(policy, self._used, trained=False, commands_a_turn=self._samples)
        finally:
            policy.close()

    def close(self) -> None:
        """Free the weights."""
        self._engine.close()


def load_model(options: ModelOptions, progress: ProgressSink) -> LoadedModel:
    """Load everything, fetching the weights first if need be. ModelError if that fails."""
    ref = resolve(options.model)
    adapter = resolve_adapter(options.adapter, ref.base_key)
    file, beside = ensure(ref, progress=progress), adapter
    if adapter is not None and options.merge and ref.merges:
        try:
            file, beside = ensure_merged(file, adapter, progress), None
        except (CoeError, OSError) as error:
            progress.message(f"The adapter stays beside the model, which is slower: {error}")
    used = ModelUsed(ref.name, ref.sha256 or "", adapter.name if adapter else None)
    return LoadedModel(file, beside, used, samples=options.samples, seed=options.seed)


@contextmanager
def llama_policy(options: ModelOptions, progress: ProgressSink) -> Generator[LoadedPolicy]:
    """Load everything for one repair; free it at the end."""
    with closing(load_model(options, progress)) as model, model.policy() as policy:
        yield policy
