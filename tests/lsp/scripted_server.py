"""The real language server with a script in place of the language model.

    python scripted_server.py SCRIPT.json

SCRIPT.json: {"commands": {FUNCTION: [COMMAND, ...]}, "delay": SECONDS, "fail": TEXT,
"crash": TEXT, "loading": SECONDS, "search": {SETTING: VALUE}}. A chain for FUNCTION gets its commands one a turn, each after the delay; then it
exits. Of a list in a COMMAND's place each chain gets the next one. With "fail" the model cannot be
loaded, for that reason; with "crash" it breaks while it is asked; "loading" takes a while and cannot
be interrupted; "fetching" so many MEGABYTES can be. The script is read again for each repair. Other
arguments are ignored: editors append some.
"""

import itertools
import json
import re
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from coe_lsp.lsp import serve as serving
from coe_lsp.lsp.handlers import make_server
from coe_lsp.lsp.model_host import ModelHost
from coe_lsp.models.registry import ModelError
from coe_lsp.repair.search.settings import SearchSettings


class ScriptedPolicy:
    """Answers by the script."""

    def __init__(self, script):
        self._commands = script["commands"]
        self._delay = script.get("delay", 0.0)
        self._crash = script.get("crash")
        self._asked = []
        self._turn = itertools.count()
        self._interrupted = threading.Event()

    def read(self, start):
        return True

    def ask(self, request):
        self._asked.append(request)
        return True

    def step(self):
        from coe_lsp.repair.policy.protocol import Proposal

        if self._crash:
            raise RuntimeError(self._crash)
        if self._interrupted.wait(self._delay):
            return []
        asked, self._asked = self._asked, []
        return [Proposal(request.id, self._command(request.episode), -1.0) for request in asked]

    def _command(self, episode):
        found = re.search(r"def (\w+)", episode.start.text)
        name = found[1] if found else "<module>"
        commands, turn = self._commands.get(name, []), len(episode.turns)
        command = commands[turn] if turn < len(commands) else "### EXIT"
        return command[next(self._turn) % len(command)] if isinstance(command, list) else command

    def logprob_ratios(self, start, line, variants):
        return [0.0] * len(variants)

    def likelihoods(self, start, texts):
        return [0.0] * len(texts)

    def forget(self, id):
        pass

    def interrupt(self):
        self._interrupted.set()


class ScriptedHost(ModelHost):
    @contextmanager
    def lease(self, options, ask, progress):
        script = json.loads(Path(sys.argv[1]).read_text())
        from coe_lsp.repair.outcome import ModelUsed
        from coe_lsp.repair.policy.protocol import LoadedPolicy

        if "fail" in script:
            raise ModelError(script["fail"])
        time.sleep(script.get("loading", 0.0))
        if megabytes := script.get("fetching"):
            progress.start(megabytes * 1_000_000, "the script from the hub")
            for _ in range(megabytes):
                time.sleep(0.15)
                progress.advance(1_000_000)
        policy = ScriptedPolicy(script)
        yield LoadedPolicy(policy, ModelUsed("script", "", None), trained=True, judge=policy)


def main():
    # The script alone says what is tried, and its chain goes on turn by turn.
    said = json.loads(Path(sys.argv[1]).read_text()).get("search", {})
    search = SearchSettings(**{"mutations": False, "branch_points": False, "grace": 0.1, **said})
    serving.make_server = lambda: make_server(ScriptedHost(), search)
    serving.serve(None)


if __name__ == "__main__":
    main()
