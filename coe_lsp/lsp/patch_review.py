"""Offers a repair to the user, and applies it if it still fits.

The files may have changed since the tests ran. A change elsewhere is kept, and the tests run again
on the two together; a change of what is repaired ends the offer. Edits name the documents'
versions, touch only the lines that change, and are one step to undo in each file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import in_backticks, printable
from coe_lsp.lsp.client import Client, DocumentEdits, FilePreview, PatchPreview
from coe_lsp.lsp.documents import edits
from coe_lsp.lsp.workspace import Document, Workspace
from coe_lsp.repair.warm import WarmRunners
from coe_lsp.settings import Settings

if TYPE_CHECKING:
    from coe_lsp.execution.suite import Run
    from coe_lsp.repair.outcome import Outcome, Repaired
    from coe_lsp.repair.patch import Patch
    from coe_lsp.repair.target.source import SourceFile

_log = logging.getLogger(__name__)
_SHOWN_LINES = 12


@frozen
class _Change:
    """A file that a repair changes, as it is now: its lines before and after."""

    document: Document
    old: tuple[str, ...]
    new: tuple[str, ...]


@frozen
class _Fitted:
    """The repair as it applies to the files as they are now; the first one is the one at fault."""

    changes: tuple[_Change, ...]
    preview: PatchPreview

    @property
    def first(self) -> Document:
        """The file at fault."""
        return self.changes[0].document

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that it is for."""
        return tuple(change.document.text for change in self.changes)


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

    async def offer(self, number: int, settings: Settings, outcome: Outcome) -> None:
        """Offer a repair."""
        try:
            fitted = await self._fit(outcome, 0)
            if settings.apply == "preview" and not self._confirmed_by_editor:
                choice = [fitted]
                if self._is_untouched(outcome):  # the others were tested with it, too
                    rest = range(1, len(outcome.patches))
                    choice += [await self._fit(outcome, n) for n in rest]
                index = await self._accepted(number, choice, outcome)
                if index is None:
                    _log.info("repair %d: not accepted", number)
                    return
                # Whoever looked at it for a while may have typed meanwhile.
                fitted = await self._fit(outcome, index, shown=choice[index])
            confirm = settings.apply == "preview" and self._confirmed_by_editor
            await self._apply(fitted, outcome, confirm=confirm)
        except CoeError as error:
            _log.info("repair %d: stale", number)
            self._client.warn(str(error))

    @property
    def _confirmed_by_editor(self) -> bool:
        return not self._client.previews and self._client.confirms_edits

    def _documents(self, outcome: Outcome, index: int = 0) -> dict[str, Document]:
        """The files that a patch changes as they are now, the one at fault first."""
        files = outcome.patches[index].patch.files
        names = dict.fromkeys([*(name for name in files if name == outcome.file), *files])
        paths = {name: outcome.sources[name].path for name in names}
        return {name: self._workspace.file(path) for name, path in paths.items()}

    def _is_untouched(self, outcome: Outcome) -> bool:
        return all(
            document.source.lines == outcome.sources[name].lines
            for name, document in self._documents(outcome).items()
        )

    async def _fit(self, outcome: Outcome, index: int, shown: _Fitted | None = None) -> _Fitted:
        """One of the patches for the files as they are now, tested with them.

        StaleError if it is none any more.
        """
        now = self._documents(outcome, index)
        if shown is not None and shown.texts == tuple(d.text for d in now.values()):
            # Perhaps typed and taken back: the same text with another version.
            pairs = zip(shown.changes, now.values(), strict=True)
            changes = tuple(_Change(document, one.old, one.new) for one, document in pairs)
            return _Fitted(changes, shown.preview)
        repaired = outcome.patches[index]
        sources = {name: document.source for name, document in now.items()}
        if all(sources[name].lines == outcome.sources[name].lines for name in sources):
            return _fitted(now, sources, repaired.patch, outcome, repaired)
        patch = repaired.patch.rebase(outcome.sources, sources)
        changed = patch.apply(sources)
        unsaved = self._workspace.unsaved(next(iter(now.values())).root)
        run = await asyncio.get_running_loop().run_in_executor(
            None, self._run, changed, unsaved, outcome
        )
        assert outcome.acceptance is not None  # it is there with every patch
        if unmet := outcome.acceptance.unmet(run):
            from coe_lsp.repair.patch import StaleError

            name = outcome.function or outcome.file
            raise StaleError(
                f"The file was edited meanwhile, and with these edits the repair of "
                f"{in_backticks(name)} does not pass its tests ({_named(unmet)}): it is not "
                "offered."
            )
        return _fitted(now, sources, patch, outcome, repaired)

    def _run(
        self,
        changed: Mapping[str, SourceFile],
        unsaved: Mapping[Path, SourceFile],
        outcome: Outcome,
    ) -> Run:
        """The tests with the changed texts, and with what else is not saved."""
        project, acceptance = outcome.project, outcome.acceptance
        assert project is not None  # it is there with every patch
        texts = {source.path: source.encode(source.lines) for source in changed.values()}
        if project.overlaid:  # as the search had it
            texts |= {
                path: source.encode(source.lines)
                for path, source in unsaved.items()
                if path not in texts
            }
        path = project.path if project.path in texts else next(iter(texts))
        project = project.for_file(path).with_overlay(_without(texts, path))
        with self._warm.lease(project) as warm:
            return warm.runner.run(texts[path], acceptance.select if acceptance else None)

    async def _accepted(
        self, number: int, choice: Sequence[_Fitted], outcome: Outcome
    ) -> int | None:
        """Which of the repairs the user wants; None for none of them."""
        fitted = choice[0]
        if self._client.previews:
            shown = {
                "repair": number,
                "uri": fitted.first.uri,
                "version": fitted.first.version,
                "function": outcome.function,
                "message": printable(outcome.message),
            }
            return await self._client.preview(shown, [one.preview for one in choice])
        lines = [x for x in fitted.preview.diff.splitlines()[2:] if x[:1] in "+-"]
        more = ["..."] if len(lines) > _SHOWN_LINES else []
        text = "\n".join([outcome.message, *lines[:_SHOWN_LINES], *more])
        return 0 if await self._client.choose(text, "Apply", "Discard") == "Apply" else None

    async def _apply(self, fitted: _Fitted, outcome: Outcome, *, confirm: bool) -> None:
        changes = [
            DocumentEdits(
                change.document.uri,
                change.document.version,
                edits(change.old, change.new, change.document.units),
            )
            for change in fitted.changes
        ]
        label = f"Repair {outcome.function}"
        refused = await self._client.apply(label, changes, confirm=confirm)
        if refused is not None:
            name = in_backticks(outcome.function or outcome.file)
            self._client.warn(f"The repair of {name} was not applied: {refused}.")
            return
        for change in changes:
            self._applied(change.uri)


def _without(texts: Mapping[Path, bytes], path: Path) -> dict[Path, bytes]:
    return {other: data for other, data in texts.items() if other != path}


def _fitted(
    documents: Mapping[str, Document],
    sources: Mapping[str, SourceFile],
    patch: Patch,
    outcome: Outcome,
    repaired: Repaired,
) -> _Fitted:
    changed = patch.apply(sources)
    changes = tuple(
        _Change(document, _with_bom(sources[name]), _with_bom(changed[name]))
        for name, document in documents.items()
    )
    first, *others = changes
    preview = PatchPreview(
        f"{outcome.function}: {repaired.reason}",
        patch.diff(sources),
        first.document.uri,
        "".join(first.new),
        tuple(FilePreview(one.document.uri, "".join(one.new)) for one in others),
        repaired.apart or repaired.reason,
    )
    return _Fitted(changes, preview)


def _with_bom(source: SourceFile) -> tuple[str, ...]:
    """Lines as the editor has them: some send the byte-order mark as a character."""
    lines = source.lines
    return ("\ufeff" + lines[0], *lines[1:]) if source.bom and lines else lines


def _named(tests: Sequence[str]) -> str:
    return tests[0] if len(tests) == 1 else f"{tests[0]} and {len(tests) - 1} more"
