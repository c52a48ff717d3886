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
from typing import Any, Callable

from coe_worker import candidate, limits, spawn
from coe_worker.child import Child
from coe_worker.hold import Held, Keeper, fork_keeper
from coe_worker.watch import Watch, fork
from coe_worker.wire import FrameError, read_frame, write_frame, write_reply


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
        opening = read_frame(requests)
        if sys.argv[1] == "--child":
            _serve_child(opening, replies)
        else:
            Zygote(requests, replies, opening).serve()
    except (EOFError, FrameError, KeyboardInterrupt):
        pass


def _serve_child(opening: dict[str, Any], events: int) -> None:
    """Be the spawned child of another zygote: nothing parks, the events go up the pipe."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = Child(opening["suite"], opening["run"], events)
    _suite_module(opening["suite"]).serve(opening["suite"], _Spawned(child))
    child.finish()


class _Spawned:
    """Stands for the zygote in a spawned child, where nothing parks."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.rewriter: Any = None

    def park(self, stage: str) -> Child:
        return self._child


def _suite_module(suite: dict[str, Any]) -> Any:
    # Never write bytecode beside the user's files, sandbox or not.
    sys.dont_write_bytecode = True
    os.chdir(suite["root"])
    return importlib.import_module("coe_worker.suite_" + suite["kind"])


class Zygote:
    """One suite, parked at one stage."""

    def __init__(self, requests: int, replies: int, opening: dict[str, Any]) -> None:
        self.suite: dict[str, Any] = opening["suite"]
        self._stage: str = opening["stage"]
        self._preload: bool = opening["preload"]
        self._requests = requests
        self._replies = replies
        self._learned = False
        # How a suite compiles a test module by its path; pytest's sets it.
        self.rewriter: Callable[[str], candidate.Rewriter | None] = lambda path: None
        self._spawn: bool = opening["spawn"] or not hasattr(os, "fork")
        self._child: Child | None = None
        self._held: Held | None = None
        self._keeper: Keeper | None = None
        self._scratch = os.environ["COE_SCRATCH"]
        limits.limit_memory(opening["memory_bytes"])

    def serve(self) -> None:
        """Park and answer; in a child, run the tests and end the process."""
        limits.become_subreaper()
        _suite_module(self.suite).serve(self.suite, self)
        if self._child is None:
            # The suite ended before it reached our stage: pytest refused its configuration.
            write_frame(self._replies, {"error": "the tests could not be set up"})
        elif self._child.holding:
            os._exit(0)  # pytest would not collect them
        else:
            self._child.finish()

    def park(self, stage: str) -> Child | None:
        """Answer requests here if this is our stage; return the child's side in each child.

        At an earlier stage returns None, at a later one the child that is already running.
        """
        if self._child is not None:
            return self._child
        path = self.suite["path"]
        if path and candidate.loaded(path):
            write_frame(self._replies, {"stale": stage})
            sys.exit(0)
        if stage != self._stage:
            return None
        version = ".".join(map(str, sys.version_info[:3]))
        write_frame(self._replies, {"ready": stage, "python": version, "pid": os.getpid()})
        while True:
            request = read_frame(self._requests)
            child = None
            if "run" in request:
                child = self._start(request["run"])
            elif "hold" in request:
                child = self._hold(request["hold"])
            elif "swap" in request:
                self._swap(request["swap"])
            # What is left is a cancel that came after its run had ended.
            if child is not None:
                self._child = child
                return child

    def _hold(self, run: dict[str, Any]) -> Child | None:
        """Fork a process that collects the tests and keeps them; returns only in that process."""
        if self._held is not None:
            self._held.end()
        forked = fork_keeper(self._requests, self._replies)
        if isinstance(forked, Keeper):
            self._held, self._keeper = None, forked
            return Child(self.suite, run, events=os.open(os.devnull, os.O_WRONLY))
        self._held = forked
        limits.keep(forked.pid)
        if not forked.wait():
            self._lose()
        return None

    def _swap(self, run: dict[str, Any]) -> None:
        """Let the keeper run a candidate; it answers for itself."""
        if self._held is None or not self._held.ask(run):
            self._lose()
        _empty(self._scratch)

    def _lose(self) -> None:
        if self._held is not None:
            self._held.end()
            self._held = None
        write_frame(self._replies, {"held": False})

    def keep(self, child: Child) -> Child:
        """Serve candidates with what is collected now; returns only in their processes."""
        assert self._keeper is not None
        program = child.program()
        # Threads do not survive a fork, nor files the end of a run.
        settled = threading.active_count() == 1 and not os.listdir(self._scratch)
        if not settled or child.rewritten or not candidate.loaded(self.suite["path"]):
            os._exit(0)
        self._child = self._keeper.keep(self.suite, program)
        return self._child

    def _start(self, run: dict[str, Any]) -> Child | None:
        """Fork; returns only in the child. In the parent, watch and reply, then return None."""
        run["learn"] = self._preload and not self._learned and not self._spawn
        token = run.pop("token")
        started = time.monotonic()
        if self._spawn:
            reply = Watch(spawn.Pipes(self.suite, run), run).until_end()
        else:
            pipes = fork(self._requests, self._replies)
            if isinstance(pipes, int):
                return Child(self.suite, run, events=pipes)
            reply = Watch(pipes, run).until_end()
        reply["seconds"] = time.monotonic() - started
        modules = reply.pop("modules", None)
        if modules is not None:
            self._learned = True
            self._learn(modules)
            path = self.suite["path"]
            reply["retire"] = bool(path) and candidate.loaded(path)
        write_reply(self._replies, reply, token)
        if reply["ending"]:
            os._exit(0)
        _empty(self._scratch)
        return None

    def _learn(self, modules: list[tuple[str, str, bool]]) -> None:
        """Do once what every child would do again: import dependencies, compile the project."""
        _import_dependencies([name for name, _, _ in modules], self.suite)
        cache = candidate.CodeCache()
        root = os.path.realpath(self.suite["root"]) + os.sep
        for _, file, rewritten in modules:
            if file.endswith(".py") and os.path.realpath(file).startswith(root):
                cache.compile(file, self.rewriter(file) if rewritten else None)
        cache.install()
        # Pages that the collector does not touch stay shared with the children.
        gc.collect()
        gc.freeze()


def _import_dependencies(modules: list[str], suite: dict[str, Any]) -> None:
    """Import what a child had to import from outside the project, so that later ones need not."""
    paths = sysconfig.get_paths()
    places = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots = tuple(os.path.realpath(place) + os.sep for place in places)
    target = os.path.realpath(suite["path"]) if suite["path"] else ""
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
