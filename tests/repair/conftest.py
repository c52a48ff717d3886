"""Projects to repair."""

import textwrap

import pytest


@pytest.fixture
def project(tmp_path):
    """Write the files of a project; returns its folder."""

    def write(files):
        root = tmp_path / "project"
        for name, text in {"pyproject.toml": "", **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))
        return root

    return write
