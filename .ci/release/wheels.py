"""Gathers the wheels of the server and of all that it needs, for machines like this one.

    python .ci/release/wheels.py FOLDER [--python VERSION...] [--cached | --server]

A platform's .vsix carries them, so that the extension installs its server without network and
without a compiler. Most are for any Python; numpy, PyYAML and MarkupSafe are there once for each
Python that is supported. llama.cpp is compiled here, for any processor of this architecture that
was made since 2013 (AVX2). Run it in a manylinux container for a wheel that older Linuxes take.
It packs nothing: see `build.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LEAN = ROOT / ".ci/release/llama.cmake"
SPARE = r"mtmd\.|llama-common|^lib/"


def gather(folder: Path, pythons: Sequence[str], *, cached: bool = False) -> None:
    """Fill `folder`; `cached` takes pip's wheel of llama-cpp-python, if it has made one before."""
    server = gather_server(folder)
    compile_llama(folder, cached=cached)
    for version in pythons:
        # Environment markers are those of the Python that runs this; the wheels are `version`'s.
        pip("download", "--only-binary=:all:", f"--python-version={version}",
            f"--find-links={folder}", f"--dest={folder}", str(server))  # fmt: skip


def gather_server(folder: Path) -> Path:
    """What an installation by network begins with: the server's wheel, and pip's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(LEAN, folder)
    pip("wheel", "--no-deps", f"--wheel-dir={folder}", str(ROOT))
    pip("download", "--no-deps", "--only-binary=:all:", f"--dest={folder}", "pip")
    return next(folder.glob("coe_lsp-*.whl"))


def compile_llama(folder: Path, *, cached: bool) -> None:
    """The wheel of llama-cpp-python, in the version that the server asks for."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    pinned = next(one for one in dependencies if one.startswith("llama-cpp-python=="))
    portable = [] if cached else ["-DGGML_NATIVE=OFF"]
    fresh = [] if cached else ["--no-cache-dir", "--no-binary=llama-cpp-python"]
    lean = f'"-DCMAKE_PROJECT_INCLUDE={LEAN.as_posix()}"'
    flags = " ".join((lean, *portable, os.environ.get("CMAKE_ARGS", "")))
    before = os.times()
    pip("wheel", "--no-deps", *fresh, f"--wheel-dir={folder}", pinned, CMAKE_ARGS=flags)
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    print(f"{pinned}: {spent:.0f} s of processor time")
    wheel = next(folder.glob("llama_cpp_python-*.whl"))
    spare = [name for name in zipfile.ZipFile(wheel).namelist() if re.search(SPARE, name)]
    if spare and not cached:
        sys.exit(f".ci/release/llama.cmake has lost its effect: {', '.join(spare)} were compiled.")
    if shutil.which("auditwheel"):
        # Takes libgomp along, and names the oldest Linux that the wheel runs on.
        subprocess.run(("auditwheel", "repair", "--wheel-dir", folder, wheel), check=True)
        if len(list(folder.glob("llama_cpp_python-*.whl"))) > 1:
            wheel.unlink()


def pip(*arguments: str, **environment: str) -> None:
    """Run pip, with variables in addition."""
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)
    subprocess.run(command, check=True, env=os.environ | environment)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="VERSION")
    parser.add_argument("--cached", action="store_true", help="llama-cpp-python as pip has it")
    parser.add_argument("--server", action="store_true", help="the server's wheel and pip alone")
    arguments = parser.parse_args()
    if arguments.server:
        gather_server(arguments.folder)
    else:
        gather(arguments.folder, arguments.python, cached=arguments.cached)


if __name__ == "__main__":
    main()
