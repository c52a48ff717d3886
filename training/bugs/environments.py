"""Interpreters that can run a package's tests: one environment a package, one link to it a tree.

What a package needs is installed once, from wheels only, so that no code of a source distribution
runs outside the sandbox. Each tree gets an environment beside it that leads there and to its own
code, in place of an editable install.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from coe_lsp.execution.interpreter import Interpreter
from coe_lsp.files import replacing
from training.bugs.bugs import BugError

_TEST_NEEDS = ("pytest",)
_DONE = "installed"
_INSTALLED = "lib/python*/*-packages" if sys.platform != "win32" else "Lib/site-packages"


def make_environment(package: str, needs: Sequence[str], folder: Path) -> Path:
    """The folder of packages to import from; made only if it is not there.

    BugError if pip cannot install what is needed as wheels.
    """
    wanted = sorted({*_TEST_NEEDS, *needs})
    stamp = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    target = folder / f"{package}-{stamp}"
    if not (target / _DONE).exists():
        target.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--no-input"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--upgrade"]
        command += [f"--target={target}", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            reason = next((x for x in lines if x.startswith("ERROR")), (lines or ["?"])[-1])
            raise BugError(f"What {package} needs cannot be installed ({reason}).")
        with replacing(target / _DONE) as part:
            part.write_text("\n".join(wanted), encoding="utf-8")
    return target


def packages_of(interpreter: Interpreter) -> list[Path]:
    """The folders of installed packages of an interpreter."""
    places = [f for folder in interpreter.folders for f in (folder, *folder.glob(_INSTALLED))]
    return [place for place in places if place.name in ("site-packages", "dist-packages")]


def link_environment(tree: Path, packages: Sequence[Path], python: Path, folder: Path) -> Path:
    """Make an environment beside a tree, for its code and `packages`; the interpreter in it.

    `python` is what it is made from: one that did not come with the project.
    """
    command = [str(python), "-I", "-m", "venv", "--without-pip", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BugError(f"{python} cannot make an environment ({done.stderr.strip()[-200:]}).")
    site = next(folder.rglob("site-packages"))
    lines = [str(place) for place in (*_roots(tree), *packages)]
    (site / "project.pth").write_text("\n".join(lines), encoding="utf-8")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _roots(tree: Path) -> Iterator[Path]:
    """The folders that a project's own code is imported from."""
    for name in ("src", "lib"):
        if (tree / name).is_dir() and not (tree / name / "__init__.py").exists():
            yield tree / name
    yield tree
