"""A client of the real server process for rough treatment: any bytes out, everything in checked.

Leaner than `helpers/editor_client.py`: messages are plain dictionaries, a thread of its own answers
what the server asks, and every wait has an end. What the server sends must be well formed. Holds
also what /proc says of a process and of those below it.
"""

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

CAPABILITIES = {
    "general": {"positionEncodings": ["utf-16"]},
    "window": {"workDoneProgress": True, "showDocument": {"support": True}},
    "workspace": {
        "configuration": True,
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True},
        "codeLens": {"refreshSupport": True},
        "didChangeWatchedFiles": {"dynamicRegistration": True},
        "didChangeConfiguration": {"dynamicRegistration": True},
    },
    "experimental": {
        "coe": {"preview": True, "status": True, "chain": True, "workspaceTrust": True}
    },
}


class Stuck(AssertionError):
    """The server did not do something in time."""


class Ended(AssertionError):
    """The server is no more, or said something that is no message."""


class Server:
    """One `coe-lsp serve` process.

    `answer` gets each request of the server, on the reading thread, and returns its result; `None`
    in place of a dictionary's "result" answers nothing.
    """

    def __init__(self, folder: Path, answer, command=("-m", "coe_lsp", "serve"), **variables):
        folder.mkdir(parents=True, exist_ok=True)
        self._errors = folder / "stderr.txt"
        self._answer = answer
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **variables},
            )
        os.set_blocking(self.process.stdin.fileno(), False)
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        self._arrived = threading.Condition()
        self.events = []
        self._answers = {}
        self._wrong = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def errors(self):
        """What it wrote to its standard error."""
        return self._errors.read_text(errors="replace")

    # -- out

    def send_bytes(self, data, seconds=30):
        """Write bytes as they are; Ended if nobody reads them any more, Stuck if not in time."""
        end = time.monotonic() + seconds
        descriptor = self.process.stdin.fileno()
        with self._writing:
            while data:
                if time.monotonic() > end:
                    raise Stuck("the server does not read")
                select.select([], [descriptor], [], 0.5)
                try:
                    data = data[os.write(descriptor, data) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise Ended("the server closed its input") from error

    def send(self, **message):
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def notify(self, method, params):
        self.send(method=method, params=params)

    def request(self, method, params=None, seconds=30):
        """The whole answer to a request."""
        number = f"ours-{next(self._numbers)}"
        self.send(id=number, method=method, params=params)
        with self._arrived:
            if not self._arrived.wait_for(lambda: number in self._answers or self._wrong, seconds):
                raise Stuck(f"no answer to {method} in {seconds} s")
            if number not in self._answers:
                raise Ended(f"no answer to {method}: {self._wrong}")
            return self._answers.pop(number)

    def execute(self, command, *arguments):
        answer = self.request(
            "workspace/executeCommand", {"command": command, "arguments": arguments}
        )
        return answer.get("result")

    def initialize(self, *folders):
        """The life of every connection begins so."""
        answer = self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "clientInfo": {"name": "stress", "version": "1"},
                "rootUri": folders[0].as_uri() if folders else None,
                "workspaceFolders": [{"uri": f.as_uri(), "name": f.name} for f in folders],
                "capabilities": CAPABILITIES,
            },
            60,
        )
        self.notify("initialized", {})
        return answer

    # -- in

    def _read(self):
        try:
            while (message := self._message()) is not None:
                self._take(message)
            wrong = "it has closed its output"
        except (ValueError, KeyError, AssertionError, OSError) as error:
            wrong = f"it sent what is no message: {error!r}"
        with self._arrived:
            self._wrong = wrong
            self._arrived.notify_all()

    def _message(self):
        stream = self.process.stdout
        length = None
        while (line := stream.readline()) != b"\r\n":
            if not line:
                return None
            name, _, value = line.partition(b":")
            if name == b"Content-Length":
                length = int(value)
        message = json.loads(stream.read(length))
        assert message["jsonrpc"] == "2.0", message
        return message

    def _take(self, message):
        if "method" in message:
            # Answered first: whoever waits for it finds that done.
            if "id" in message:
                self._reply(message)
            with self._arrived:
                self.events.append(message)
                self._arrived.notify_all()
        else:
            with self._arrived:
                number = message.get("id")
                # What came with a number that is none may be answered with it.
                self._answers[number if isinstance(number, str) else repr(number)] = message
                self._arrived.notify_all()

    def _reply(self, message):
        answer = self._answer(message)
        if answer is not None:
            with contextlib.suppress(Ended):
                self.send(id=message["id"], **answer)

    def mark(self):
        """A place in what has come, to wait for what comes after it."""
        with self._arrived:
            return len(self.events)

    def forget(self):
        """Forget what has come."""
        with self._arrived:
            self.events.clear()
            self._answers.clear()

    def wait(self, wanted, seconds, after=0):
        """The first message after a mark that is wanted; None if there is none in time."""
        end = time.monotonic() + seconds
        with self._arrived:
            while True:
                for message in self.events[after:]:
                    if wanted(message):
                        return message
                after = max(after, len(self.events))
                if self._wrong:
                    raise Ended(self._wrong)
                if not self._arrived.wait(max(0.0, end - time.monotonic())):
                    return None

    # -- its end

    def ended(self, seconds):
        """The exit status; Stuck if it runs on."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Stuck(f"the server still runs after {seconds} s") from error

    def stop(self, seconds=20):
        """End it as an editor does; the exit status."""
        with contextlib.suppress(Ended):
            self.request("shutdown", seconds=seconds)
            self.notify("exit", None)
        return self.ended(seconds)

    def close(self):
        """Make sure that it is gone, however things went."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self._reader.join(5)
        self.process.stdout.close()


# -- processes


def _stat(pid):
    """Parent and state of a process; None if it is gone."""
    try:
        # The name is in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0]


def below(pid):
    """All living processes that descend from this one."""
    stats = {int(f.name): _stat(f.name) for f in Path("/proc").iterdir() if f.name.isdigit()}
    found = [pid]
    for one in found:
        found += [n for n, stat in stats.items() if stat and stat[0] == one]
    return [n for n in found[1:] if stats[n][1] != "Z"]


def alive(pids):
    """Those that still run."""
    return [pid for pid in pids if (stat := _stat(pid)) is not None and stat[1] != "Z"]


def gone(pids, seconds):
    """Wait for all of them to end; those that did not."""
    end = time.monotonic() + seconds
    while left := alive(pids):
        if time.monotonic() > end:
            return left
        time.sleep(0.05)
    return []


def figures(pid):
    """Resident memory in MB, open descriptors and threads of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    return {
        "rss": int(values["VmRSS"]) / 1024,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(values["Threads"]),
    }
