"""Repairs and checks without end in one real server process, and what that does to the process.

    python tests/stress/soak.py [--repairs 500] [--checks 2000] [--model none] [--json FILE]

Two users work at once: one has functions repaired, one has files checked, in small projects whose
files change all the time, on the disk and in the editor. Meanwhile processes below the server are
killed, repairs and checks are cancelled in whatever phase they are, documents are closed, tests
hang, exit, flood and eat memory, and the disk with the server's own files is full now and then (only
as root, which may mount a small disk in memory; else that part is left out, which the report says).

After every 25 actions the server's test processes are told to end: none may be left. Then memory,
descriptors and threads are taken down. At the end they must not be more than 10% above what they were
after the first 50 repairs (three fifths of them where there are fewer). Each file that nobody meddled
with must get the right verdict, most such repairs must be found, and the log must tell of no fault.
The exit status is 1 if any of that does not hold.

It does not show anything about the quality of repairs (faults are of one token and mutations find
them; with `--model` some are not, and the model is asked), about large projects, or about systems
without /proc.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from soak_projects import ODD_TESTS, Fault, make_project
from stress_client import Ended, Server, Stuck, below, figures, gone

ROUND = 25  # actions
REPAIRS_A_ROUND = 5
SETTLED_AFTER = 50  # repairs
GROWTH = 1.1
BUDGET = 5  # seconds
# What one action may take; a budget, the tests before and after it, and a machine that is busy.
LONGEST = 90.0
SLOW = 30.0  # an action that is told, though nothing is wrong with it
FOUND = 0.8  # of the repairs that were let alone
DISK = 4 << 20


class Broken(Exception):
    """Something that must not be."""


class Editor:
    """What an editor does: holds the texts, answers the server, applies edits."""

    def __init__(self, folder, projects, model, variables):
        self.projects = {project.uri: project for project in projects}
        self._models = {projects[0].uri: model}
        self.accept = 0
        self.server = Server(folder, self._answer, **variables)

    def _answer(self, message):
        params = message.get("params") or {}
        if message["method"] == "workspace/configuration":
            return {"result": [self._settings(item.get("scopeUri")) for item in params["items"]]}
        if message["method"] == "coe/preview":
            return {"result": {"accept": self.accept}}
        if message["method"] == "workspace/applyEdit":
            return {"result": {"applied": self._apply(params["edit"])}}
        if message["method"] == "window/showMessageRequest":
            trust = [a for a in params.get("actions") or () if a["title"].startswith("Trust")]
            return {"result": trust[0] if trust else None}
        if message["method"] == "window/showDocument":
            return {"result": {"success": True}}
        return {"result": None}

    def _settings(self, uri):
        model = self._models.get(uri, "none")
        return {"model": model, "budget": BUDGET, "python": sys.executable, "testTimeout": 1}

    def _apply(self, edit):
        for change in edit["documentChanges"]:
            project = self.projects[change["textDocument"]["uri"]]
            with project.lock:
                if change["textDocument"]["version"] != project.version:
                    return False
                lines = project.current.splitlines(keepends=True)
                for one in reversed(change["edits"]):
                    begin, end = one["range"]["start"], one["range"]["end"]
                    assert begin["character"] == end["character"] == 0
                    lines[begin["line"] : end["line"]] = one["newText"].splitlines(keepends=True)
                self.change(project, "".join(lines))
        return True

    def open(self, project, text=None):
        with project.lock:
            project.version, project.current = 1, text or project.path.read_text()
            item = {"uri": project.uri, "languageId": "python", "version": 1}
            item["text"] = project.current
            self.server.notify("textDocument/didOpen", {"textDocument": item})

    def close(self, project):
        self.server.notify("textDocument/didClose", {"textDocument": {"uri": project.uri}})

    def change(self, project, text):
        with project.lock:
            project.version, project.current = project.version + 1, text
            document = {"uri": project.uri, "version": project.version}
            self.server.notify(
                "textDocument/didChange",
                {"textDocument": document, "contentChanges": [{"text": text}]},
            )

    def save(self, project, *, disk=True):
        """Tell of a save, and most of the time there has been one."""
        if disk:
            project.path.write_text(project.current)
        self.server.notify("textDocument/didSave", {"textDocument": {"uri": project.uri}})

    def written(self, path, kind):
        """Something else wrote a file: 1 made, 2 changed, 3 removed."""
        self.server.notify(
            "workspace/didChangeWatchedFiles", {"changes": [{"uri": path.as_uri(), "type": kind}]}
        )


class User:
    """One who works with the editor; `kinds` of actions are drawn by weight."""

    def __init__(self, editor, projects, seed):
        self.editor, self.server = editor, editor.server
        self.projects = projects
        self.draw = random.Random(seed)
        self.counts = Counter()
        self.broken = []
        self.seconds = Counter()
        self.slow = []
        self.done = 0
        self._numbers = iter(range(10**9))

    def act(self):
        """One action; what must not be is noted."""
        kinds = list(self.kinds)
        (kind,) = self.draw.choices(kinds, [self.kinds[k] for k in kinds])
        project = self.draw.choice(self.projects)
        began, mark = time.monotonic(), self.server.mark()
        try:
            getattr(self, kind)(project)
        except (Broken, Stuck) as error:
            self.broken.append(f"{kind} of {project.module}: {error}")
            self.server.execute("coe.cancel", {})
        took = time.monotonic() - began
        if took > SLOW:
            self.slow.append(f"{kind} of {project.module}, {took:.0f} s: {self.said(mark)}")
        self.seconds[kind] += took
        self.counts[kind] += 1
        self.done += 1

    def said(self, mark):
        """What the server logged and showed last, since a mark."""
        told = ("window/logMessage", "window/showMessage", "window/showMessageRequest")
        events = self.server.events[mark:]
        return [m["params"]["message"][:200] for m in events if m["method"] in told][-8:]

    def edit(self, project, fault):
        """A text that nobody has seen, with the fault or without one."""
        text = project.broken(fault) if fault else project.text
        self.editor.change(project, f"{text}\n\nREVISION = {next(self._numbers)}\n")

    def pause(self, most):
        """A moment, of whatever length up to the most, more often a short one."""
        time.sleep(most * self.draw.random() ** 2)

    def kill(self):
        """Kill one of the processes below the server, whichever it is."""
        with contextlib.suppress(OSError, IndexError):
            os.kill(self.draw.choice(below(self.server.pid)), signal.SIGKILL)
            self.counts["killed"] += 1


class Repairer(User):
    """Has functions repaired."""

    kinds = MappingProxyType(
        {"left_alone": 10, "cancelled": 4, "shot": 3, "edited": 2, "closed": 1, "refused": 1}
    )

    def start(self, project, fault=None):
        """Ask for a repair; the fault, its number and a mark before it."""
        fault = fault or self.draw.choice(project.faults)
        self.edit(project, fault)
        mark = self.server.mark()
        wish = {"uri": project.uri, "function": fault.function}
        end = time.monotonic() + 2
        # The last repair may have been applied this moment: its answer is still on its way.
        while not (answer := self.server.execute("coe.repair", wish)):
            if time.monotonic() > end:
                raise Broken("the repair was not begun")
            time.sleep(0.05)
        return fault, answer["repair"], mark

    def finish(self, number, mark, seconds=LONGEST):
        """Wait for the end; what was logged of it."""
        log = re.compile(rf"repair {number}: (?!started)")
        found = self.server.wait(
            lambda m: m["method"] == "window/logMessage" and log.match(m["params"]["message"]),
            seconds,
            mark,
        )
        if found is None:
            raise Broken(f"repair {number} did not end in {seconds:g} s: {self.said(mark)}")
        text = found["params"]["message"]
        self.counts[re.sub(r",.*", "", text.partition(": ")[2].splitlines()[0])[:40]] += 1
        return text

    def finish_and_settle(self, project, number, mark, seconds=LONGEST):
        """Wait for the end, and for the offer if there is one: it must not meet the next action."""
        text = self.finish(number, mark, seconds)
        if ": repaired" in text:
            self.offered(project, number, mark)
        return text

    def offered(self, project, number, mark):
        """Wait until a repair that was found has been applied, refused or dropped."""

        def settled(message):
            params = message.get("params") or {}
            if message["method"] == "workspace/applyEdit":
                return project.uri in json.dumps(params)
            if message["method"] == "window/logMessage":
                return re.match(rf"repair {number}: (not accepted|stale)", params["message"])
            return False

        if self.server.wait(settled, LONGEST, mark) is None:
            raise Broken(f"repair {number} was not offered")

    def left_alone(self, project):
        _, number, mark = self.start(project)
        before = project.current
        if ": repaired" not in self.finish_and_settle(project, number, mark):
            # The machine may be too busy for the budget: judged over all of them.
            return
        if project.current == before:
            raise Broken(f"repair {number} was not applied")
        self.counts["found"] += 1

    def cancelled(self, project):
        fault = None
        if project is self.projects[0]:  # the one with the model: far from any mutation
            fault = Fault(project.faults[0].function, "\n    if", "\n    return 7\n    if")
            fault = fault if fault.right in project.text else None
        _, number, mark = self.start(project, fault)
        self.pause(4.0)
        self.server.execute("coe.cancel", {"repair": number} if self.draw.random() < 0.7 else {})
        began = time.monotonic()
        started = f"repair {number}: started"
        if self.server.wait(lambda m: started in json.dumps(m), 1.0, mark):
            self.finish_and_settle(project, number, mark, 30)
            self.counts["cancels over 2 s"] += time.monotonic() - began > 2

    def shot(self, project):
        _, number, mark = self.start(project)
        for _ in range(self.draw.randint(1, 4)):
            self.pause(1.5)
            self.kill()
        self.finish_and_settle(project, number, mark)

    def edited(self, project):
        fault, number, mark = self.start(project)
        for _ in range(3):
            self.pause(1.0)
            self.edit(project, fault if self.draw.random() < 0.7 else None)
        self.finish_and_settle(project, number, mark)

    def closed(self, project):
        _, number, mark = self.start(project)
        self.pause(2.0)
        self.editor.close(project)
        self.finish_and_settle(project, number, mark)
        self.editor.open(project)

    def refused(self, project):
        self.editor.accept = None
        try:
            _, number, mark = self.start(project)
            self.finish_and_settle(project, number, mark)
        finally:
            self.editor.accept = 0
        self.server.execute("coe.showChain", {"uri": project.uri})


class Checker(User):
    """Has files checked."""

    kinds = MappingProxyType({
        "plain": 60, "hurried": 10, "shot": 8, "reopened": 5, "asked": 5, "restarted": 3,
        "on_disk": 4, "odd": 5,
    })  # fmt: skip

    def verdict(self, project, fault, act):
        """What `act` brings about must be the right verdict; once more if a process was shot."""
        passing = f"{project.module}.py: {project.tests} passed, 0 failed"
        some = re.compile(rf"{project.module}\.py: \d+ passed, [1-9]\d* failed")

        def right(message):
            if message["method"] != "coe/status":
                return False
            said = message["params"]["message"]
            return some.match(said) if fault else said == passing

        mark = self.server.mark()
        act()
        if self.server.wait(right, 20, mark) is None:
            self.counts["checks asked for again"] += 1
            mark = self.server.mark()
            self.editor.save(project)
            if self.server.wait(right, LONGEST, mark) is None:
                said = [
                    m["params"]["message"]
                    for m in self.server.events[mark:]
                    if m["method"] == "coe/status"
                ]
                raise Broken(f"no right verdict ({fault}); it said {said}")
        uri = {"textDocument": {"uri": project.uri}}
        for method in ("textDocument/codeLens", "textDocument/hover"):
            params = uri | {"position": {"line": 3, "character": 0}}
            if "error" in self.server.request(method, params):
                raise Broken(f"{method} ended with an error")

    def _fault(self, project):
        return self.draw.choice([None, *project.faults])

    def plain(self, project):
        fault = self._fault(project)
        self.edit(project, fault)
        self.verdict(project, fault, lambda: self.editor.save(project))

    def hurried(self, project):
        for _ in range(4):
            self.edit(project, self._fault(project))
            self.editor.save(project, disk=self.draw.random() < 0.5)
            self.pause(0.8)
        self.plain(project)

    def shot(self, project):
        self.edit(project, self._fault(project))
        self.editor.save(project)
        self.pause(1.5)
        self.kill()
        self.plain(project)

    def reopened(self, project):
        self.edit(project, None)
        self.editor.save(project)
        self.pause(1.5)
        self.editor.close(project)
        fault = self._fault(project)
        text = project.broken(fault) if fault else project.text
        project.path.write_text(text)
        self.verdict(project, fault, lambda: self.editor.open(project, text))

    def asked(self, project):
        fault = self._fault(project)
        self.edit(project, fault)
        command = {"uri": project.uri}
        self.verdict(project, fault, lambda: self.server.execute("coe.check", command))

    def restarted(self, project):
        self.edit(project, None)
        self.editor.save(project)
        self.pause(1.0)
        self.server.execute("coe.restartWorker", {})
        self.plain(project)

    def on_disk(self, project):
        """A program of the disk only, as a version control system writes it."""
        fault = self._fault(project)
        text = project.broken(fault) if fault else project.text
        project.path.write_text(text)
        self.editor.written(project.path, 2)
        self.editor.change(project, text)
        self.verdict(project, fault, lambda: self.editor.save(project))

    def odd(self, project):
        kind = self.draw.choice(list(ODD_TESTS))
        self.counts[f"tests: {kind}"] += 1
        project.odd_file.write_text(ODD_TESTS[kind])
        self.editor.written(project.odd_file, 1)
        self.edit(project, None)
        self.editor.save(project)
        self.pause(3.0)
        project.odd_file.unlink()
        self.editor.written(project.odd_file, 3)
        self.plain(project)


class Disk:
    """A small disk in memory for the server's own files, which can be filled; or nothing."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.why_not = "" if os.geteuid() == 0 else "only root may mount a small disk"
        if not self.why_not:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
            self.why_not = done.stderr.strip() if done.returncode else ""

    def fill(self):
        """Leave no byte."""
        if self.why_not:
            return
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb", 0) as file:
            while file.write(b"x" * 4096):
                pass

    def free(self):
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self):
        if not self.why_not:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)


def soak(folder, repairs, checks, model="none", seed=0, say=print):
    """Run it; a report as plain data, whose `broken` is empty if everything held."""
    disk = Disk(folder / "disk")
    projects = [make_project(folder / f"project {n}", n) for n in range(5)]
    variables = {"TMPDIR": str(disk.folder), "XDG_STATE_HOME": str(disk.folder / "state")}
    editor = Editor(folder / "server", projects, model, variables)
    server = editor.server
    repairer = Repairer(editor, projects[:3], f"{seed} repairs")
    checker = Checker(editor, projects[3:], f"{seed} checks")
    rows, broken = [], []
    began = time.monotonic()
    try:
        server.initialize(*(project.root for project in projects))
        for project in projects:
            editor.open(project)
        rounds = max(1, (repairs + checks) // ROUND)
        with ThreadPoolExecutor(2) as pool:
            for number in range(rounds):
                full = number % 10 == 7
                if full:
                    disk.fill()
                lanes = [
                    pool.submit(_work, user, how_many * (number + 1) // rounds)
                    for user, how_many in ((repairer, repairs), (checker, checks))
                ]
                for lane in lanes:
                    lane.result()
                disk.free()
                row, left = _measure(server)
                row |= {"repairs": repairer.done, "checks": checker.done, "full": full}
                row["minutes"] = (time.monotonic() - began) / 60
                rows.append(row)
                say(_line(row))
                if left:
                    broken.append(f"round {number}: processes {left} were left")
                server.forget()
        children = below(server.pid)
        status = server.stop()
        if status:
            broken.append(f"the server ended with status {status}")
        if left := gone(children, 5):
            broken.append(f"processes {left} outlived the server")
    except (Ended, Stuck) as error:
        broken.append(f"{error}; it wrote: {server.errors()[-2000:]}")
    finally:
        server.close()
        log = disk.folder / "state/coe-lsp/log/server.log"
        faults = _faults(log)
        disk.close()
    broken += repairer.broken + checker.broken + _growth(rows, repairs)
    if faults:
        broken.append(f"the log tells of faults: {faults}")
    alone, found = repairer.counts["left_alone"], repairer.counts["found"]
    if alone >= 10 and found < FOUND * alone:
        broken.append(f"only {found} of {alone} repairs were found")
    return {
        "rows": rows,
        "repairs": dict(repairer.counts),
        "checks": dict(checker.counts),
        "slow": repairer.slow + checker.slow,
        "seconds": {
            k: round(s / u.counts[k], 1) for u in (repairer, checker) for k, s in u.seconds.items()
        },
        "minutes": (time.monotonic() - began) / 60,
        "full disk": disk.why_not or "tried",
        "model": model,
        "broken": broken,
    }


def _work(user, until):
    while user.done < until:
        user.act()


def _measure(server):
    """Have the waiting test processes end; what the server is like then, and what is left."""
    most = len(below(server.pid))
    end = time.monotonic() + 20
    while True:
        server.execute("coe.restartWorker", {})
        left = gone(below(server.pid), 1)
        if not left or time.monotonic() > end:
            return figures(server.pid) | {"processes": most, "left": len(left)}, left


def _line(row):
    return (
        f"{row['minutes']:6.1f} min {row['repairs']:5} repairs {row['checks']:5} checks "
        f"{row['rss']:7.1f} MB {row['descriptors']:4} descriptors {row['threads']:3} threads "
        f"{row['processes']:3} processes, {row['left']} left{', disk full' if row['full'] else ''}"
    )


def _growth(rows, repairs):
    """What is more than 10% above what it was once the server had done all it does for a while."""
    settled = min(SETTLED_AFTER, 3 * repairs // 5)
    late = [row for row in rows if row["repairs"] > settled]
    if len(late) < 2:
        return []
    few = max(1, min(4, len(late) // 2))
    found = []
    for name, leeway in (("rss", 0.0), ("descriptors", 2), ("threads", 2)):
        first, last = (statistics.median(r[name] for r in p) for p in (late[:few], late[-few:]))
        # Of a dozen descriptors 10% is one.
        if last > max(GROWTH * first, first + leeway):
            found.append(f"{name} grew from {first:.1f} to {last:.1f}")
    return found


def _faults(log):
    """The errors that the server's log has, and how often."""
    texts = [path.read_text(errors="replace") for path in log.parent.glob("server.log*")]
    return dict(Counter(line for text in texts for line in re.findall(r" ERROR (.{0,120})", text)))


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--repairs", type=int, default=500)
    options.add_argument("--checks", type=int, default=2000)
    options.add_argument("--model", default="none", help="for one of the projects; see coe.model")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path, help="where to write all figures")
    given = options.parse_args()
    # Also in the background of a shell: the small disk goes with us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        report = soak(folder, given.repairs, given.checks, given.model, given.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1))
    for name in ("repairs", "checks", "seconds", "slow", "full disk", "model"):
        print(f"{name}: {report[name]}")
    for line in report["broken"]:
        print("BROKEN", line)
    return 1 if report["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
