"""Offers a repair to the user, and applies it if it still fits.

The document may have changed since the tests ran. A change elsewhere in the file is kept, and the
tests run again on the two together; a change of what is repaired ends the offer. Edits name the
document's version, touch only the lines that change, and are one step to undo.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import printable
from coe_lsp.execution.project import Project
from coe_lsp.execution.suite import Run
from coe_lsp.lsp.client import Client, PatchPreview
from coe_lsp.lsp.documents import edits
from coe_lsp.lsp.workspace import Document, Workspace
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.patch import Patch, StaleError
from coe_lsp.repair.target.source import SourceFile
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings

_log = logging.getLogger(__name__)
_SHOWN_LINES = 12


@frozen
class _Fitted:
    """The repair as it applies to a document of a certain version."""

    document: Document
    old: tuple[str, ...]
    new: tuple[str, ...]
    preview: PatchPreview


class PatchReview:
    """Shows repairs and applies those that are accepted."""

    def __init__(
        self,
        workspace: Workspace,
        client: Client,
        warm: WarmRunners,
        applied: Callable[[str], None],
    ) -> None:
        """`applied` gets the address of a document that was changed."""
        self._workspace = workspace
        self._client = client
        self._warm = warm
        self._applied = applied

    async def offer(
        self, number: int, tested: Document, settings: Settings, outcome: Outcome
    ) -> None:
        """Offer what repairs `tested`, a document as it was then."""
        try:
            fitted = await self._fit(tested, settings, outcome, 0)
            if settings.apply == "preview" and not self._confirmed_by_editor:
                choice = [fitted]
                if fitted.document.text == tested.text:  # the others were tested with it, too
                    rest = range(1, len(outcome.patches))
                    choice += [await self._fit(tested, settings, outcome, n) for n in rest]
                index = await self._accepted(number, choice, outcome)
                if index is None:
                    _log.info("repair %d: not accepted", number)
                    return
                # Whoever looked at it for a while may have typed meanwhile.
                shown = choice[index]
                fitted = await self._fit(shown.document, settings, outcome, index, shown=shown)
            confirm = settings.apply == "preview" and self._confirmed_by_editor
            await self._apply(fitted, outcome, confirm=confirm)
        except CoeError as error:
            _log.info("repair %d: stale", number)
            self._client.warn(str(error))

    @property
    def _confirmed_by_editor(self) -> bool:
        return not self._client.previews and self._client.confirms_edits

    async def _fit(
        self,
        tested: Document,
        settings: Settings,
        outcome: Outcome,
        index: int,
        shown: _Fitted | None = None,
    ) -> _Fitted:
        """One of the patches for the document as it is now, tested with it.

        StaleError if it is none any more.
        """
        now = self._workspace.document(tested.uri)
        if shown is not None and now.text == shown.document.text:
            return shown if now.version == shown.document.version else _same(shown, now)
        repaired = outcome.patches[index]
        current = now.source
        sources = {outcome.file: current}
        if current.lines == outcome.sources[outcome.file].lines:
            return _fitted(now, current, repaired.patch, outcome, repaired.reason)
        patch = repaired.patch.rebase(outcome.sources, sources)
        changed = patch.apply(sources)[outcome.file]
        loop = asyncio.get_running_loop()
        run = await loop.run_in_executor(None, self._run, now, settings, changed, outcome)
        assert outcome.acceptance is not None  # it is there with every patch
        if unmet := outcome.acceptance.unmet(run):
            raise StaleError(
                f"The file was edited meanwhile, and with these edits the repair of "
                f"{outcome.function} does not pass its tests ({_named(unmet)}): it is not offered."
            )
        return _fitted(now, current, patch, outcome, repaired.reason)

    def _run(
        self, document: Document, settings: Settings, changed: SourceFile, outcome: Outcome
    ) -> Run:
        """The tests with a changed text, as the search ran them."""
        project = Project.open(document.path, settings.project_options())
        with self._warm.lease(project) as warm:
            select = outcome.acceptance.select if outcome.acceptance else None
            return warm.runner.run(changed.encode(changed.lines), select)

    async def _accepted(
        self, number: int, choice: Sequence[_Fitted], outcome: Outcome
    ) -> int | None:
        """Which of the repairs the user wants; None for none of them."""
        fitted = choice[0]
        if self._client.previews:
            shown = {
                "repair": number,
                "uri": fitted.document.uri,
                "version": fitted.document.version,
                "function": outcome.function,
                "message": printable(outcome.message),
            }
            return await self._client.preview(shown, [one.preview for one in choice])
        lines = [x for x in fitted.preview.diff.splitlines()[2:] if x[:1] in "+-"]
        more = ["..."] if len(lines) > _SHOWN_LINES else []
        text = "\n".join([outcome.message, *lines[:_SHOWN_LINES], *more])
        return 0 if await self._client.choose(text, "Apply", "Discard") == "Apply" else None

    async def _apply(self, fitted: _Fitted, outcome: Outcome, *, confirm: bool) -> None:
        document = fitted.document
        refused = await self._client.apply(
            f"Repair {outcome.function}",
            document.uri,
            document.version,
            edits(fitted.old, fitted.new, document.units),
            confirm=confirm,
        )
        if refused is None:
            self._applied(document.uri)
        else:
            self._client.warn(f"The repair of {outcome.function} was not applied: {refused}.")


def _same(shown: _Fitted, now: Document) -> _Fitted:
    """Typed and taken back: the same text with another version."""
    return _Fitted(now, shown.old, shown.new, shown.preview)


def _fitted(
    document: Document, source: SourceFile, patch: Patch, outcome: Outcome, reason: str
) -> _Fitted:
    sources = {outcome.file: source}
    changed = patch.apply(sources)[outcome.file]
    before, after = _with_bom(source), _with_bom(changed)
    label = f"{outcome.function}: {reason}"
    preview = PatchPreview(label, patch.diff(sources), "".join(after))
    return _Fitted(document, before, after, preview)


def _with_bom(source: SourceFile) -> tuple[str, ...]:
    """Lines as the editor has them: some send the byte-order mark as a character."""
    lines = source.lines
    return ("\ufeff" + lines[0], *lines[1:]) if source.bom and lines else lines


def _named(tests: Sequence[str]) -> str:
    return tests[0] if len(tests) == 1 else f"{tests[0]} and {len(tests) - 1} more"
