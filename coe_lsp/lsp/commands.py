"""The commands of `workspace/executeCommand`. They return at once; the work goes on.

But a repair whose progress the client wants under a token of its own is answered once it has
looked, since such a token is good until then; and cancelling the request stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lsprotocol import types

from coe_lsp.escaping import markdown
from coe_lsp.lsp import log
from coe_lsp.lsp.diagnostics import chain_text
from coe_lsp.lsp.documents import function_at
from coe_lsp.lsp.server import CoeServer
from coe_lsp.lsp.workspace import DocumentError
from coe_lsp.settings import Settings

COMMANDS = (
    "coe.repair",
    "coe.repairFile",
    "coe.cancel",
    "coe.showChain",
    "coe.restartWorker",
    "coe.doctor",
    "coe.check",
)


async def execute(
    server: CoeServer, name: str, arguments: Sequence[Any], token: types.ProgressToken | None
) -> Any:
    """Run one of `COMMANDS`."""
    given = (
        cast("dict[str, Any]", arguments[0]) if arguments and isinstance(arguments[0], dict) else {}
    )
    uri = given.get("uri")
    uri = uri if isinstance(uri, str) else None
    if name in ("coe.repair", "coe.repairFile", "coe.check"):
        if uri is None:
            server.client.warn("Open a Python file first.")
            return None
        server.checks.attend(uri)
        if name == "coe.check":
            return _check(server, uri)
        function = _named(server, uri, given) if name == "coe.repair" else None
        job = server.repairs.request(uri, function, token)
        if job is not None and token is not None:
            await server.until_searched(job)
        return None if job is None else {"repair": job.number}
    if name == "coe.cancel":
        number = given.get("repair")
        server.repairs.cancel(number if isinstance(number, int) else None)
    elif name == "coe.restartWorker":
        server.checks.restart_workers()
    elif name == "coe.showChain":
        return await _show_chain(server, uri)
    elif name == "coe.doctor":
        return await _doctor(server, uri)
    return None


def _named(server: CoeServer, uri: str, given: dict[str, Any]) -> str | None:
    """The function that was named, or the one at the position."""
    function = given.get("function")
    if isinstance(function, str):
        return function
    position = given.get("position")
    row = cast("dict[str, Any]", position).get("line") if isinstance(position, dict) else None
    if not isinstance(row, int) or not server.documents.is_open(uri):
        return None
    return function_at(server.lines(uri), row)


def _check(server: CoeServer, uri: str) -> None:
    """Run a file's tests."""
    try:
        server.documents.document(uri)
    except DocumentError as error:
        server.client.warn(str(error))
    else:
        server.checks.schedule(uri, why="asked")


async def _show_chain(server: CoeServer, uri: str | None) -> dict[str, str] | None:
    outcome = server.repairs.outcome(uri)
    if outcome is None:
        server.client.message("There has been no repair yet.")
        return None
    return await _show(server, "Chain of edits", chain_text(outcome))


async def _doctor(server: CoeServer, uri: str | None) -> dict[str, str] | None:
    from coe_lsp.doctor import examine, heading

    root, settings = Path.cwd(), Settings()
    with contextlib.suppress(DocumentError):
        document = server.documents.document(uri or next(iter(server.documents.opened()), ""))
        root, settings = document.root, await server.documents.settings(document)
    lines: list[str] = []
    python = settings.python
    if not server.trust.holds(root):
        lines = [f"- {markdown(str(root))} is not trusted: its own interpreter was left alone"]
        root, python = Path(sys.prefix), None
    checks = await asyncio.get_running_loop().run_in_executor(
        None, lambda: list(examine(root, python, settings.model_options()))
    )
    lines += [
        f"- {'ok' if check.good else '**fail**'} {check.name}: {markdown(check.text)}"
        + (f" ({markdown(check.more)})" if check.more else "")
        for check in checks
    ]
    text = f"# coe-lsp\n\n{heading()}\n\n" + "\n".join(lines)
    return await _show(server, "coe-lsp doctor", f"{text}\n\nLog: {log.log_file() or 'none'}\n")


async def _show(server: CoeServer, title: str, text: str) -> dict[str, str]:
    """Return a text to a plugin of ours; have any other client open it as a file."""
    if not server.client.shows_texts:
        name = title.lower().replace(" ", "-") + ".md"
        path = Path(tempfile.mkdtemp(prefix="coe-lsp-")) / name
        path.write_text(text, encoding="utf-8")
        window = server.client_capabilities.window
        if window and window.show_document and window.show_document.support:
            await server.window_show_document_async(types.ShowDocumentParams(uri=path.as_uri()))
        else:
            server.client.message(f"{title}: {path}")
    return {"title": title, "text": text}
