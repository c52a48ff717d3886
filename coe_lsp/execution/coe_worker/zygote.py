"""The worker's main process: parks where it is safe and forks a child for each candidate.

A suite's `serve` runs from importing pytest to running tests, calling `park(stage)` on
the way. The zygote stops at the stage it was told to (`bare`, `imported`, `configured`) and answers
requests there for the rest of its life; each forked child continues from that point. The later the
stage, the cheaper a candidate. A stage at which the file under repair is already imported is of no
use, since the candidate could not take its place: the zygote then answers `stale`, and the client
starts another that parks earlier.

Where `os.fork` is missing, each run starts a fresh interpreter instead (`coe_worker.spawn`).
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import shutil
import signal
import sys
import sysconfig
import threading
import time
from dataclasses import replace
from typing import Any, Callable

from coe_worker import candidate, limits, spawn
from coe_worker.child import Child
from coe_worker.messages import (
    Cancel,
    ChildOpening,
    ImportedModule,
    Opening,
    PreforkReply,
    PreforkRequest,
    Ready,
    RunRequest,
    SetupFailed,
    Stage,
    Stale,
    SuiteSpec,
    receive,
    send,
    send_reply,
)
from coe_worker.prefork import PreforkHandle, PreforkServer, fork_prefork_server
from coe_worker.watch import Watch, fork
from coe_worker.wire import FrameError


def main() -> None:
    """Serve one suite on standard input and output until the pipe closes.

    The first argument is the process that started this one, or `--child`.
    """
    limits.close_to_others()
    limits.die_with_parent()
    if sys.argv[1] != "--child" and os.getppid() not in (0, int(sys.argv[1])):
        return  # it ended before this one could be tied to it; 0 is outside of our namespace
    # It is the first process of its namespace: what it does not handle does not reach it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The protocol keeps the pipes for itself; whatever user code does with 0, 1 and 2 is harmless.
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdin = open(0, closefd=False)
    try:
        if sys.argv[1] == "--child":
            _serve_child(receive(requests, ChildOpening), replies)
        else:
            Zygote(requests, replies, receive(requests, Opening)).serve()
    except (EOFError, KeyboardInterrupt):
        pass
    except FrameError as error:
        sys.exit(str(error))


def _serve_child(opening: ChildOpening, events: int) -> None:
    """Be the spawned child of another zygote: nothing parks, the events go up the pipe."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = Child(opening.suite, opening.run, events)
    _suite_module(opening.suite).serve(opening.suite, _Spawned(child))
    child.finish()


class _Spawned:
    """Stands for the zygote in a spawned child, where nothing parks."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.rewriter: Any = None
        self.compiled = candidate.CodeCache()

    def park(self, stage: Stage) -> Child:
        return self._child


def _suite_module(suite: SuiteSpec) -> Any:
    # Never write bytecode beside the user's files, sandbox or not.
    sys.dont_write_bytecode = True
    os.chdir(suite.root)
    for path, text in suite.overlay.items():
        candidate.install(path, text.encode("latin-1"))
    return importlib.import_module("coe_worker.suite_" + suite.kind)


class Zygote:
    """One suite, parked at one stage."""

    def __init__(self, requests: int, replies: int, opening: Opening) -> None:
        self.suite = opening.suite
        self._stage = opening.stage
        self._preload = opening.preload
        self._requests = requests
        self._replies = replies
        self._learned = False
        # How a suite compiles a test module by its path; pytest's sets it.
        self.rewriter: Callable[[str], candidate.Rewriter | None] = lambda path: None
        self.compiled = candidate.CodeCache()
        self._spawn = opening.spawn or not hasattr(os, "fork")
        self._child: Child | None = None
        self._prefork: PreforkHandle | None = None
        self._prefork_server: PreforkServer | None = None  # in its own process
        self._scratch = os.environ["COE_SCRATCH"]
        limits.limit_memory(opening.memory_bytes)

    def serve(self) -> None:
        """Park and answer; in a child, run the tests and end the process."""
        limits.become_subreaper()
        _suite_module(self.suite).serve(self.suite, self)
        if self._child is None:
            # The suite ended before it reached our stage: pytest refused its configuration.
            send(self._replies, SetupFailed())
        elif self._child.prefork:
            os._exit(0)  # pytest would not collect them
        else:
            self._child.finish()

    def park(self, stage: Stage) -> Child | None:
        """Answer requests here if this is our stage; return the child's side in each child.

        At an earlier stage returns None, at a later one the child that is already running.
        """
        if self._child is not None:
            return self._child
        path = self.suite.path
        if path and candidate.loaded(path):
            send(self._replies, Stale())
            sys.exit(0)
        if stage != self._stage:
            return None
        try:
            send(self._replies, Ready())
            while self._child is None:
                self._child = self._answer()
        except (EOFError, FrameError, TimeoutError):
            os._exit(0)  # the client is gone, or cannot be understood any more
        return self._child

    def _answer(self) -> Child | None:
        """Serve one request; returns a child only in the child's process."""
        request = receive(self._requests, RunRequest, PreforkRequest, Cancel)
        if isinstance(request, PreforkRequest):
            return self._start_prefork_server(request)
        if isinstance(request, RunRequest):
            if not request.hot:
                return self._run(request)
            self._run_hot(request)
        return None  # a cancel came after its run had ended

    def _start_prefork_server(self, request: PreforkRequest) -> Child | None:
        """Fork a process that collects the tests and stays; returns a child only in there."""
        if self._prefork is not None:
            self._prefork.end()
        forked = fork_prefork_server(request, self._requests, self._replies)
        if isinstance(forked, PreforkServer):
            self._prefork, self._prefork_server = None, forked
            events = os.open(os.devnull, os.O_WRONLY)
            return Child(self.suite, request.run, events, prefork=True)
        self._prefork = forked
        limits.exempt(forked.pid)
        if not forked.wait(request):
            self._end_prefork_server(request.token)
        return None

    def _run_hot(self, request: RunRequest) -> None:
        """Let the prefork server run a candidate; it answers for itself."""
        if self._prefork is None or not self._prefork.run(request):
            self._end_prefork_server(request.token)
        _empty(self._scratch)

    def _end_prefork_server(self, token: str) -> None:
        if self._prefork is not None:
            self._prefork.end()
            self._prefork = None
        send(self._replies, PreforkReply(token, ready=False))

    def serve_hot_runs(self, child: Child) -> Child:
        """In the prefork server, with all collected: returns only in its candidates' processes."""
        assert self._prefork_server is not None
        hot_swap = child.hot_swap()
        # Threads do not survive a fork, nor files the end of a run.
        settled = threading.active_count() == 1 and not os.listdir(self._scratch)
        if not settled or child.rewritten or not candidate.loaded(str(self.suite.path)):
            os._exit(0)
        self._child = self._prefork_server.serve(self.suite, hot_swap)
        return self._child

    def _run(self, request: RunRequest) -> Child | None:
        """Fork; returns only in the child. In the parent, watch and reply, then return None."""
        started = time.monotonic()
        if self._spawn:
            watch = Watch(spawn.Pipes(self.suite, request.run), request, started)
        else:
            learn = self._preload and not self._learned
            pipes = fork(self._requests, self._replies)
            if isinstance(pipes, int):
                return Child(self.suite, request.run, events=pipes, report_modules=learn)
            watch = Watch(pipes, request, started)
        reply = watch.until_end()
        if watch.modules is not None:
            self._learned = True
            self._learn(watch.modules)
            path = self.suite.path
            reply = replace(reply, retire=bool(path) and candidate.loaded(str(path)))
        send_reply(self._replies, reply)
        if reply.ending:
            os._exit(0)
        _empty(self._scratch)
        return None

    def _learn(self, modules: list[ImportedModule]) -> None:
        """Do once what every child would do again: import dependencies, compile the project."""
        _import_dependencies([name for name, _, _ in modules], self.suite)
        root = os.path.realpath(self.suite.root) + os.sep
        overlaid = {os.path.realpath(path) for path in self.suite.overlay}
        for _, file, rewritten in modules:
            real = os.path.realpath(file)
            if file.endswith(".py") and real.startswith(root) and real not in overlaid:
                self.compiled.compile(file, self.rewriter(file) if rewritten else None)
        self.compiled.install()
        # Pages that the collector does not touch stay shared with the children.
        gc.collect()
        gc.freeze()


def _import_dependencies(modules: list[str], suite: SuiteSpec) -> None:
    """Import what a child had to import from outside the project, so that later ones need not."""
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots = tuple(os.path.realpath(folder) + os.sep for folder in folders)
    target = os.path.realpath(suite.path) if suite.path else ""
    wanted: dict[str, bool] = {}
    for name in modules:
        top = name.partition(".")[0]
        if top not in wanted:
            wanted[top] = _is_dependency(top, roots, target)
        if wanted[top] and name not in sys.modules:
            try:
                importlib.import_module(name)
            except Exception:  # whatever it is, the child will meet it again
                continue


def _is_dependency(top: str, roots: tuple[str, ...], target: str) -> bool:
    """Whether a top-level module is installed, and not the package under repair itself."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or not spec.origin:
        return False
    if spec.origin in ("built-in", "frozen"):
        return True
    origin = os.path.realpath(spec.origin)
    folder = os.path.dirname(origin) + os.sep
    inside = bool(spec.submodule_search_locations) and target.startswith(folder)
    return origin.startswith(roots) and origin != target and not inside


def _empty(folder: str) -> None:
    """Remove what the last candidate left in the scratch folder, or end if that is impossible."""
    try:
        os.chmod(folder, 0o700)
        for place, folders, _ in os.walk(folder):
            for name in (os.path.join(place, name) for name in folders):
                if not os.path.islink(name):
                    os.chmod(name, 0o700)
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except OSError:
        os._exit(0)  # the next run gets another folder
