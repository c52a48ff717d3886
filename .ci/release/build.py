"""Builds all that a release consists of, for the platform that it runs on, and tries the result.

    python .ci/release/build.py [--dry-run] [--wheels FOLDER]

Into `dist/` go the package (sdist and wheel), the platform's .vsix, the Neovim plugin as an
archive, and SHA256SUMS. The server is installed from the .vsix's wheels as the extension does it,
without network, and must start. A dry run is content with a version that is not finished, takes
pip's wheel of llama-cpp-python if there is one, and packs the wheels of this Python only. It
publishes nothing.

Needs node 20, and `pip install build`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from wheels import PYTHONS, ROOT, gather

DIST = ROOT / "dist"
EXTENSION = ROOT / "editors/vscode"


def version(*, dry: bool) -> str:
    """The one version of everything; SystemExit says where it differs."""
    found = {
        "coe_lsp/__init__.py": named(r'__version__ = "(.+)"', ROOT / "coe_lsp/__init__.py"),
        "editors/vscode/package.json": json.loads((EXTENSION / "package.json").read_text())[
            "version"
        ],
        "editors/mason/package.yaml": named(r"coe-lsp@(\S+)", ROOT / "editors/mason/package.yaml"),
        "editors/zed/extension.toml": named(
            r'^version = "(.+)"', ROOT / "editors/zed/extension.toml"
        ),
        "editors/zed/Cargo.toml": named(r'^version = "(.+)"', ROOT / "editors/zed/Cargo.toml"),
    }
    if not dry:
        found["CHANGELOG.md"] = named(r"^## (\d\S+) \(\d{4}-\d\d-\d\d\)$", ROOT / "CHANGELOG.md")
        tag = output("git", "describe", "--exact-match", "--tags", "--match=v*")
        found["the tag of this commit"] = tag.removeprefix("v")
        if output("git", "status", "--porcelain"):
            sys.exit("There are changes that are not committed: a release is built from a commit.")
    if len(set(found.values())) > 1:
        lines = (f"  {where}: {what or 'none'}" for where, what in found.items())
        sys.exit("\n".join(("The versions differ:", *lines)))
    return found["coe_lsp/__init__.py"]


def named(pattern: str, file: Path) -> str:
    """The first match in a file; empty if there is none."""
    match = re.search(pattern, file.read_text(), re.MULTILINE)
    return match.group(1) if match else ""


def package_extension(number: str, *, dry: bool, wheels: Path | None) -> Path:
    """The .vsix for this platform, and its tests with these wheels."""
    folder = EXTENSION / "server"
    if wheels is None:
        own = (".".join(map(str, sys.version_info[:2])),)
        gather(folder, own if dry else PYTHONS, cached=dry)
    elif wheels.resolve() != folder:
        shutil.copytree(wheels, folder, dirs_exist_ok=True)
    os.environ |= {"COE_BUNDLE": str(folder), "PYTHON": sys.executable}
    npm("ci", "--silent", "--no-audit", "--no-fund")
    npm("test")
    npm("run", "build", "--", "--minify")
    target = f"{vscode_system()}-{vscode_machine()}"
    vsix = DIST / f"coe-lsp-{target}-{number}.vsix"
    npm("exec", "--", "vsce", "package", f"--target={target}", f"--out={vsix}")
    packed = {Path(name).name for name in zipfile.ZipFile(vsix).namelist()}
    missing = {path.name for path in folder.iterdir()} - packed
    if missing:
        sys.exit(f"{vsix.name} lacks {', '.join(sorted(missing))}: see .vscodeignore.")
    return vsix


def vscode_system() -> str:
    """The first half of the name that VS Code has for this platform."""
    return {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}[platform.system()]


def vscode_machine() -> str:
    """The second half."""
    return {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[
        platform.machine().lower()
    ]


def npm(*arguments: str) -> None:
    """Run npm in the extension's folder."""
    program = shutil.which("npm") or sys.exit("npm is not on PATH: install node 20.")
    subprocess.run((program, *arguments), cwd=EXTENSION, check=True)


def output(*command: str) -> str:
    """What a program prints; empty if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--wheels", type=Path, help="made before, by wheels.py in a container")
    arguments = parser.parse_args()
    number = version(dry=arguments.dry_run)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    subprocess.run((sys.executable, "-m", "build", "--outdir", DIST, ROOT), check=True)
    package_extension(number, dry=arguments.dry_run, wheels=arguments.wheels)
    plugin = DIST / f"coe.nvim-{number}.tar.gz"
    git = (
        "git",
        "archive",
        f"--prefix=coe.nvim-{number}/",
        f"--output={plugin}",
        "HEAD:editors/neovim",
    )
    subprocess.run(git, cwd=ROOT, check=True)
    files = sorted(DIST.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (DIST / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    for path in files:
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
