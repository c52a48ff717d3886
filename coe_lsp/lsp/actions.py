"""Code actions, code lenses and hover, from what is known already. Pure, and never slow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve, frozen
from lsprotocol import types

from coe_lsp.escaping import code, printable
from coe_lsp.lsp.diagnostics import (
    CODE,
    SOURCE,
    chain_plain,
    chain_text,
    count,
    headline,
    suspects,
)
from coe_lsp.lsp.documents import function_at

if TYPE_CHECKING:
    from coe_lsp.lsp.check import CheckResult
    from coe_lsp.repair.outcome import Outcome

_TITLE = "Repair with CoE"
_DEF = re.compile(r"\s*(?:async\s+)?def\s+(\w+)")


@frozen
class Known:
    """What is known of a document where actions are asked for.

    `refused` says why its tests are not run, if so; `awaited`: they will run without being asked.
    """

    lines: Sequence[str]
    result: CheckResult | None = None
    text: str = ""
    of_tests: bool = False
    refused: str = ""
    awaited: bool = True


def code_actions(
    params: types.CodeActionParams, known: Known, *, tag: bool, disabled: bool
) -> list[types.CodeAction]:
    """A quick fix for each of our diagnostics there; else a rewrite of the function there.

    The rewrite is offered where there is something to repair. A client that asks for rewrites by
    name learns elsewhere why there is none, if it knows `disabled` actions.
    """
    uri, wanted = params.text_document.uri, params.context.only
    tags = [types.CodeActionTag.LlmGenerated] if tag else None
    found: list[types.CodeAction] = []
    ours = [d for d in params.context.diagnostics if d.source == SOURCE and d.code == CODE]
    if _wants(wanted, types.CodeActionKind.QuickFix):
        for diagnostic in ours:
            name = _function_of(diagnostic) or function_at(known.lines, diagnostic.range.start.line)
            found.append(
                types.CodeAction(
                    title=f"{_TITLE}: {name}" if name else _TITLE,
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[diagnostic],
                    is_preferred=True,
                    command=command(uri, name),
                    tags=tags,
                )
            )
    name = function_at(known.lines, params.range.start.line)
    if found or name is None or not _wants(wanted, types.CodeActionKind.RefactorRewrite):
        return found
    rewrite = types.CodeAction(
        title=f"{_TITLE}: {name}",
        kind=types.CodeActionKind.RefactorRewrite,
        command=command(uri, name),
        tags=tags,
    )
    reason = _why_not(name, known)
    by_name = wanted is not None and _wants(
        [kind for kind in wanted if kind != types.CodeActionKind.Empty],
        types.CodeActionKind.RefactorRewrite,
    )
    if reason is None:
        return [rewrite]
    if not reason:
        return [rewrite] if by_name or not known.awaited else []
    if not (by_name and disabled):
        return []
    off = types.CodeActionDisabled(reason=printable(reason))
    return [evolve(rewrite, command=None, disabled=off)]


def _why_not(name: str, known: Known) -> str | None:
    """Why there is nothing to repair in a function; '' if that is not known, None if there is."""
    if known.refused:
        return known.refused
    if known.result is None:
        return ""
    if any(f.function is not None and f.function.name == name for f in known.result.found):
        return None
    if known.result.document.text != known.text:
        return ""
    if not known.result.found:
        return f"All tests of {known.result.document.path.name} pass."
    if known.of_tests:
        return f"`{name}` does not fail."
    if any(f.function is None for f in known.result.found):
        return f"The tests fail before they run `{name}`."
    if name in known.result.functions:
        return f"The tests that run `{name}` pass."
    return f"No test runs `{name}`."


def command(uri: str, function: str | None, title: str = _TITLE) -> types.Command:
    """The command that starts a repair."""
    return types.Command(title, "coe.repair", arguments=[{"uri": uri, "function": function}])


def code_lenses(uri: str, result: CheckResult, lines: Sequence[str]) -> list[types.CodeLens]:
    """One over each function with failing tests, wherever it has moved since."""
    found: list[types.CodeLens] = []
    rows = _rows_of_functions(lines)
    for finding in result.found:
        if finding.function is None:
            continue
        name = finding.function.name
        row = _row_of(name, finding.function.first - 1, lines, rows)
        if row is not None:
            start = types.Position(row, 0)
            title = f"{count(len(finding.tests), 'test')} failing: {_TITLE}"
            found.append(types.CodeLens(types.Range(start, start), command(uri, name, title)))
    return found


def hover(
    row: int,
    result: CheckResult,
    lines: Sequence[str],
    outcome: Outcome | None,
    *,
    as_markdown: bool,
    marked: bool = False,
) -> types.Hover | None:
    """Over a function with failing tests: which, and the last chain of edits.

    Over a test that fails: where in the project it points. `marked`: the editor shows a mark of
    ours beside it, and what that says is not said again.
    """
    name = function_at(lines, row)
    here = (f for f in result.found if f.function and f.function.name == name)
    finding = next(here, None)
    if finding is None:
        return None
    tests = [test.id for test in finding.tests[:8]]
    places = next((result.places[t.id] for t in finding.tests if t.id in result.places), ())
    last = outcome if outcome is not None and outcome.function == name else None
    if marked and not places and last is None:
        return None
    if as_markdown:
        text = ""
        if not marked:
            text = f"**{headline(finding)}**\n\n"
            text += "".join(f"- {code(test)}\n" for test in tests)
        text += "".join(f"\n{line}" for line in suspects(places, as_markdown=True))
        if last:
            text += f"\n---\n{chain_text(last)}" if text else chain_text(last)
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text.lstrip("\n")))
    lines = [] if marked else [headline(finding), *(f"- {printable(test)}" for test in tests)]
    lines += suspects(places, as_markdown=False)
    lines += [*([""] if lines else []), chain_plain(last)] if last else []
    return types.Hover(types.MarkupContent(types.MarkupKind.PlainText, "\n".join(lines)))


def _rows_of_functions(lines: Sequence[str]) -> dict[str, list[int]]:
    """The rows with a `def` of each name, in one pass: there may be many findings."""
    found: dict[str, list[int]] = {}
    for row, line in enumerate(lines):
        if "def" in line and (match := _DEF.match(line)):
            found.setdefault(match[1], []).append(row)
    return found


def _row_of(
    name: str, expected: int, lines: Sequence[str], rows: Mapping[str, Sequence[int]]
) -> int | None:
    """The row of a function's `def`, the nearest to where it was if there are several."""
    mine = [row for row in rows.get(name.rpartition(".")[2], ()) if function_at(lines, row) == name]
    return min(mine, key=lambda row: abs(row - expected), default=None)


def _function_of(diagnostic: types.Diagnostic) -> str | None:
    data: Any = diagnostic.data
    name = cast("dict[str, Any]", data).get("function") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None


def _wants(only: Sequence[types.CodeActionKind | str] | None, kind: types.CodeActionKind) -> bool:
    """Whether actions of this kind were asked for; `refactor` asks for its kinds, '' for all."""
    if only is None:
        return True
    names = [k.value if isinstance(k, types.CodeActionKind) else k for k in only]
    return any(name in ("", kind.value) or kind.value.startswith(f"{name}.") for name in names)
