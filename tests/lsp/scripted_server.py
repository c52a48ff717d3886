"""The real language server with a script in place of the language model.

    python scripted_server.py SCRIPT.json

SCRIPT.json: {"commands": {FUNCTION: [COMMAND, ...]}, "delay": SECONDS, "fail": TEXT,
"crash": TEXT}. A chain for FUNCTION gets its commands one a turn, each after the delay; then it
exits. With "fail" the model cannot be loaded, for that reason; with "crash" it breaks while it is
asked. The script is read again for each repair. Other arguments are ignored: editors append some.
"""

import json
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from coe_lsp.lsp import serve as serving
from coe_lsp.lsp.server import make_server
from coe_lsp.models.registry import ModelError


class ScriptedPolicy:
    """Answers by the script."""

    def __init__(self, script):
        self._commands = script["commands"]
        self._delay = script.get("delay", 0.0)
        self._crash = script.get("crash")

    def propose(self, episodes, focus, stop):
        from coe_lsp.repair.policy import Proposal

        if self._crash:
            raise RuntimeError(self._crash)
        end = time.monotonic() + self._delay
        while time.monotonic() < end:
            if stop():
                return
            time.sleep(0.01)
        for chain, episode in episodes.items():
            name = re.search(r"def (\w+)", episode.start.text)[1]
            commands = self._commands.get(name, [])
            turn = len(episode.turns)
            if stop():
                return
            yield Proposal(chain, commands[turn] if turn < len(commands) else "### EXIT", -1.0)

    def forget(self, chain):
        pass

    def interrupt(self):
        pass


def main():
    @contextmanager
    def lease(options, ask, progress):
        script = json.loads(Path(sys.argv[1]).read_text())
        from coe_lsp.repair.outcome import ModelUsed
        from coe_lsp.repair.repair import LoadedPolicy

        if "fail" in script:
            raise ModelError(script["fail"])
        yield LoadedPolicy(ScriptedPolicy(script), ModelUsed("script", "", None), trained=True)

    serving.make_server = lambda: make_server(lease)
    serving.serve(None)


if __name__ == "__main__":
    main()
