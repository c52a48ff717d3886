"""`coe-lsp doctor`: what a repair needs, shown on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.text import Text

from coe_lsp.cli.settings import settings_for
from coe_lsp.cli.view import plain_console
from coe_lsp.doctor import examine, heading
from coe_lsp.execution.discovery import find_root


def doctor(options: argparse.Namespace) -> int:
    """Run the checks; exit status 0 if a repair could run now, 1 if not."""
    console = plain_console()
    console.print(heading())
    root = find_root(Path.cwd() / "here.py")
    settings = settings_for(options, root)
    good = True
    for check in examine(root, settings.python, settings.model_options()):
        good = good and check.good
        mark = ("  ok   ", "green") if check.good else ("  fail ", "bold red")
        console.print(Text.assemble(mark, f"{check.name}: {check.text}"))
        if options.verbose and check.more:
            console.print(f"       {check.more}", style="dim", markup=False)
    return 0 if good else 1
