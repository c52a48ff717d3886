"""A second process of the zygote's, which has the tests collected and the program imported.

The keeper is forked where the zygote is parked, goes on to collect with one program in place, and
stays there: each candidate is forked from it and gets its functions swapped in (`swap`). The zygote
hands it a run and waits until it has answered the client, so that only one of the two ever uses the
client's pipes. If it cannot get that far, or dies, it just ends.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from coe_worker import limits
from coe_worker.child import Child
from coe_worker.swap import Swap
from coe_worker.watch import Watch, fork
from coe_worker.wire import read_frame, write_frame, write_reply


def fork_keeper(control: int, replies: int) -> Held | Keeper:
    """Fork: the keeper in the new process, the zygote's end of it in the old one."""
    requests, ask = os.pipe()
    answered, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ask)
        os.close(answered)
        os.setsid()
        limits.die_with_parent()
        limits.become_subreaper()
        return Keeper(requests, tell, control, replies)
    os.close(requests)
    os.close(tell)
    return Held(pid, ask, answered)


class Held:
    """The zygote's end."""

    def __init__(self, pid: int, ask: int, answered: int) -> None:
        self.pid = pid
        self._ask = ask
        self._answered = answered

    def ask(self, run: dict[str, Any]) -> bool:
        """Have it run a candidate and answer the client; False if it is no more."""
        try:
            write_frame(self._ask, run)
        except EOFError:
            return False
        return self.wait()

    def wait(self) -> bool:
        """Until it has answered the client; False if it ended instead."""
        return bool(os.read(self._answered, 1))

    def end(self) -> None:
        """End it with all that it started."""
        os.close(self._ask)
        os.close(self._answered)
        limits.keep(None)
        limits.kill_tree(self.pid)


class Keeper:
    """The keeper's end."""

    def __init__(self, requests: int, tell: int, control: int, replies: int) -> None:
        self._requests = requests
        self._tell = tell
        self._control = control
        self._replies = replies

    def keep(self, suite: dict[str, Any], swap: Swap) -> Child:
        """Run candidates until the zygote is gone; returns only in their processes."""
        # Pages that the collector does not touch stay shared with the children.
        gc.collect()
        gc.freeze()
        try:
            write_frame(self._replies, {"held": True})
            os.write(self._tell, b".")
            while True:
                run = read_frame(self._requests)
                token = run.pop("token")
                started = time.monotonic()
                pipes = fork(self._control, self._replies, self._requests, self._tell)
                if isinstance(pipes, int):
                    child = Child(suite, run, events=pipes)
                    break
                reply = Watch(pipes, run).until_end()
                reply["seconds"] = time.monotonic() - started
                write_reply(self._replies, reply, token)
                os.write(self._tell, b".")
        except EOFError:
            os._exit(0)
        child.begin_swapped(swap)
        return child
