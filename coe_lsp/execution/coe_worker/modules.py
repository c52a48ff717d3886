"""Imports a file as a module of its package, with the folder it is found from on `sys.path`."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def module_name(path: str) -> tuple[str, str]:
    """The dotted name of a file and the folder that must be on `sys.path` to import it."""
    folder, name = os.path.split(os.path.abspath(path))
    parts = [] if name == "__init__.py" else [os.path.splitext(name)[0]]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    return ".".join(parts), folder


def import_file(path: str) -> ModuleType:
    """Import the file; whatever its code raises comes through."""
    name, folder = module_name(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)
