"""Offers a repair to the user, and applies it if it still fits.

The document may have changed since the tests ran. A change elsewhere in the file is kept, and the
tests run again on the two together; a change of the function itself ends the offer. Edits name the
document's version, touch only the lines that change, and are one step to undo.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import printable
from coe_lsp.execution.discovery import suites_for
from coe_lsp.execution.interpreter import find_interpreter
from coe_lsp.execution.runner import SuiteRunner
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits
from coe_lsp.lsp.client import Client, Patch
from coe_lsp.lsp.documents import edits
from coe_lsp.lsp.rebase import StaleError, rebase
from coe_lsp.lsp.workspace import Document, Workspace
from coe_lsp.repair.outcome import Outcome, Repaired
from coe_lsp.repair.target.source import SourceFile, unified_diff
from coe_lsp.settings import Settings

_log = logging.getLogger(__name__)
_SHOWN_LINES = 12


@frozen
class _Fitted:
    """The repair as it applies to a document of a certain version."""

    document: Document
    old: tuple[str, ...]
    new: tuple[str, ...]
    patch: Patch


class Offers:
    """Shows repairs and applies those that are accepted."""

    def __init__(
        self, workspace: Workspace, client: Client, applied: Callable[[str], None]
    ) -> None:
        """`applied` gets the address of a document that was changed."""
        self._workspace = workspace
        self._client = client
        self._applied = applied

    async def offer(
        self,
        number: int,
        tested: Document,
        settings: Settings,
        outcome: Outcome,
        target_tests: Sequence[str],
    ) -> None:
        """Offer what repairs `tested`, a document as it was then."""
        try:
            fitted = await self._fit(tested, settings, outcome, 0, target_tests)
            if settings.apply == "preview" and not self._confirmed_by_editor:
                choice = [fitted]
                if fitted.document.text == tested.text:  # the others were tested with it, too
                    rest = range(1, len(outcome.patches))
                    choice += [
                        await self._fit(tested, settings, outcome, index, target_tests)
                        for index in rest
                    ]
                index = await self._accepted(number, choice, outcome)
                if index is None:
                    _log.info("repair %d: not accepted", number)
                    return
                # Whoever looked at it for a while may have typed meanwhile.
                shown = choice[index]
                fitted = await self._fit(
                    shown.document, settings, outcome, index, target_tests, shown=shown
                )
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
        target_tests: Sequence[str],
        shown: _Fitted | None = None,
    ) -> _Fitted:
        """One of the patches for the document as it is now, tested with it.

        StaleError if it is none any more.
        """
        now = self._workspace.document(tested.uri)
        if shown is not None and now.text == shown.document.text:
            return shown if now.version == shown.document.version else _same(shown, now)
        name = outcome.function or ""
        old = SourceFile.parse(tested.path, outcome.old_source or b"")
        patch = outcome.patches[index]
        repaired = SourceFile.parse(tested.path, patch.new_source)
        current = now.source
        if current.lines == old.lines:
            return _fitted(now, current, repaired.lines, outcome, patch)
        new = rebase(old, repaired, current, name)
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(
            None, _passes, now, current.encode(new), settings, target_tests
        ):
            raise StaleError(
                f"The file was edited meanwhile, and with these edits the repair of {name} does "
                "not pass its tests: it is not offered."
            )
        return _fitted(now, current, new, outcome, patch)

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
            return await self._client.preview(shown, [one.patch for one in choice])
        lines = [x for x in fitted.patch.diff.splitlines()[2:] if x[:1] in "+-"]
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
    return _Fitted(now, shown.old, shown.new, shown.patch)


def _fitted(
    document: Document,
    old: SourceFile,
    new: tuple[str, ...],
    outcome: Outcome,
    patch: Repaired,
) -> _Fitted:
    diff = unified_diff(outcome.file, old.lines, new)
    before, after = _with_bom(old.bom, old.lines), _with_bom(old.bom, new)
    label = f"{outcome.function}: {patch.reason}"
    return _Fitted(document, before, after, Patch(label, diff, "".join(after)))


def _with_bom(bom: bool, lines: Sequence[str]) -> tuple[str, ...]:
    """Lines as the editor has them: some send the byte-order mark as a character."""
    return ("\ufeff" + lines[0], *lines[1:]) if bom and lines else tuple(lines)


def _passes(
    document: Document, data: bytes, settings: Settings, target_tests: Sequence[str]
) -> bool:
    sandbox = find_sandbox(settings.sandbox, settings.env, settings.show)
    interpreter = find_interpreter(document.root, settings.python, sandbox)
    suites = suites_for(document.path, document.root, interpreter, settings.tests)
    seconds = settings.test_timeout
    limits = Limits(test_seconds=seconds, wall_seconds=12 * seconds)
    with SuiteRunner(suites, interpreter, sandbox, limits) as runner:
        run = runner.run(data)
    passed = {result.id for result in run.results if result.outcome == "passed"}
    return passed.issuperset(target_tests)
