"""A second process of the zygote's, with one program imported and its tests collected: hot runs.

The server is forked where the zygote is parked, goes on to collect with that program in place, and
stays there: each candidate is forked from it and gets its functions put in place (`hot_swap`). The
zygote hands it a run and waits until it has answered the client, so that only one of the two ever
uses the client's pipes. If it cannot get that far, or dies, it just ends; one that does not answer
in time is ended. Either way its candidates are run the ordinary way from then on.
"""

from __future__ import annotations

import gc
import os
import select
import time

from coe_worker import limits
from coe_worker.child import Child
from coe_worker.hot_swap import HotSwap
from coe_worker.messages import (
    PreforkReply,
    PreforkRequest,
    RunRequest,
    SuiteSpec,
    receive,
    send,
    send_reply,
)
from coe_worker.watch import Watch, fork
from coe_worker.wire import FrameError

#: More than a run may take, and less than what the client waits for it.
_ANSWER_GRACE_SECONDS = 1.0


def fork_prefork_server(
    request: PreforkRequest, control: int, replies: int
) -> PreforkHandle | PreforkServer:
    """Fork: the server in the new process, the zygote's end of it in the old one."""
    requests, ask = os.pipe()
    answered, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ask)
        os.close(answered)
        os.setsid()
        limits.die_with_parent()
        limits.become_subreaper()
        return PreforkServer(request.token, requests, tell, control, replies)
    os.close(requests)
    os.close(tell)
    return PreforkHandle(pid, ask, answered)


class PreforkHandle:
    """The zygote's end."""

    def __init__(self, pid: int, ask: int, answered: int) -> None:
        self.pid = pid
        self._ask = ask
        self._answered = answered

    def wait(self, request: PreforkRequest) -> bool:
        """Until it is set up and has told the client so; False if it never is."""
        return self._wait(_deadline(request))

    def run(self, request: RunRequest) -> bool:
        """Have it run a candidate and answer the client; False if it cannot any more."""
        deadline = _deadline(request)
        try:
            send(self._ask, request, deadline)
        except (EOFError, TimeoutError):
            return False
        return self._wait(deadline)

    def _wait(self, deadline: float) -> bool:
        seconds = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._answered], [], [], seconds)
        return bool(ready) and os.read(self._answered, 1) != b""

    def end(self) -> None:
        """End it with all that it started."""
        os.close(self._ask)
        os.close(self._answered)
        limits.exempt(None)
        limits.kill_tree(self.pid)


def _deadline(request: RunRequest | PreforkRequest) -> float:
    return time.monotonic() + request.run.limits.wall_seconds + _ANSWER_GRACE_SECONDS


class PreforkServer:
    """The server's end."""

    def __init__(self, token: str, requests: int, tell: int, control: int, replies: int) -> None:
        self._token = token
        self._requests = requests
        self._tell = tell
        self._control = control
        self._replies = replies

    def serve(self, suite: SuiteSpec, hot_swap: HotSwap) -> Child:
        """Run candidates until the zygote is gone; returns only in their processes."""
        # Pages that the collector does not touch stay shared with the children.
        gc.collect()
        gc.freeze()
        try:
            send(self._replies, PreforkReply(self._token, ready=True))
            os.write(self._tell, b".")
            while True:
                request = receive(self._requests, RunRequest)
                started = time.monotonic()
                pipes = fork(self._control, self._replies, self._requests, self._tell)
                if isinstance(pipes, int):
                    child = Child(suite, request.run, events=pipes)
                    break
                send_reply(self._replies, Watch(pipes, request, started).until_end())
                os.write(self._tell, b".")
        except (EOFError, FrameError, TimeoutError):
            os._exit(0)
        child.begin_hot(hot_swap)
        return child
