"""Settings for a command: what was typed, then what the project's `[tool.coe]` may set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coe_lsp.errors import CoeError
from coe_lsp.escaping import printable
from coe_lsp.repair.way_in import WayIn, find_way_in
from coe_lsp.settings import RULES, Settings, project_layer, read_settings

# Options of commands that only share the name of a setting.
_FLAGS = {"apply"}


def way_and_settings(options: argparse.Namespace) -> tuple[WayIn, Settings]:
    """Where a command begins, by the targets that were typed, and the settings there."""
    way = find_way_in(options.targets, Path())
    if way.path is None and options.tests:
        raise CoeError("--tests are for a source file: name tests as targets instead.")
    return way, settings_for(options, way.root)


def settings_for(options: argparse.Namespace, root: Path | None) -> Settings:
    """The settings in force; `root` is the project's folder, None to leave it out.

    What is wrong with the project's is told on standard error, and the default taken.
    """
    typed = {
        rule.name: getattr(options, attribute, None) or None
        for attribute, rule, _ in RULES
        if attribute not in _FLAGS
    }
    project = (str(root / "pyproject.toml"), project_layer(root)) if root is not None else None
    settings, problems = read_settings([("command line", typed)], project)
    for problem in problems:
        print(f"warning: {printable(problem)}", file=sys.stderr)
    return settings
