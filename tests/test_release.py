"""What a release is built by: its checks of the version, and what it refuses."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coe_lsp import __version__

ROOT = Path(__file__).parents[1]
VERSIONED = (
    "coe_lsp/__init__.py",
    "editors/vscode/package.json",
    "editors/mason/package.yaml",
    "editors/zed/extension.toml",
    "editors/zed/Cargo.toml",
)


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ("git", *identity, *arguments)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def build(monkeypatch):
    """The release command, as a module."""
    monkeypatch.syspath_prepend(ROOT / ".ci/release")
    spec = importlib.util.spec_from_file_location("release_build", ROOT / ".ci/release/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("wheels", None)


@pytest.fixture
def released(build, tmp_path, monkeypatch):
    """A repository whose last commit is a release."""
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    text = (
        f"# Changelog\n\n## Unreleased\n\n## {__version__} (2026-12-01)\n\n## 0.0.9 (2026-01-01)\n"
    )
    (tmp_path / "CHANGELOG.md").write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "Release")
    git(tmp_path, "tag", "-a", f"v{__version__}", "-m", "x")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "EXTENSION", tmp_path / "editors/vscode")
    return tmp_path


def test_all_versions_are_the_same(build):
    assert build.version(dry=True) == __version__


def test_a_tagged_commit_is_released(build, released):
    assert build.version(dry=False) == __version__


@pytest.mark.parametrize("name", VERSIONED)
def test_a_version_that_differs_is_named(build, released, name):
    path = released / name
    path.write_text(path.read_text().replace(__version__, "9.9.9"))
    with pytest.raises(SystemExit, match=rf"{name}: 9\.9\.9"):
        build.version(dry=True)


def test_no_release_without_tag_and_section(build, released):
    git(released, "tag", "--delete", f"v{__version__}")
    with pytest.raises(SystemExit, match="the tag of this commit: none"):
        build.version(dry=False)
    git(released, "tag", f"v{__version__}")
    changelog = released / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace(f"{__version__} (2026-12-01)", "9.9.9 (soon)")
    )
    git(released, "commit", "--quiet", "--all", "-m", "Later")
    git(released, "tag", "--force", f"v{__version__}")
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md: 0\.0\.9"):
        build.version(dry=False)


def test_no_release_of_what_is_not_committed(build, released):
    (released / "more").touch()
    with pytest.raises(SystemExit, match="not committed"):
        build.version(dry=False)


def test_the_package_of_the_extension_takes_the_wheels_along():
    manifest = json.loads((ROOT / "editors/vscode/package.json").read_text())
    kept = (ROOT / "editors/vscode/.vscodeignore").read_text()
    assert "scripts/wheel.mjs" in manifest["scripts"]["package"]
    assert {"!server/*.whl", "!server/llama.cmake"} <= set(kept.splitlines())
