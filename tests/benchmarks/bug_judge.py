"""Says of a patch of a real bug whether it is right, and how near it is to what people did.

A patch is *right* if with it every test passes that passes with the human fix: the whole suite is
run in a checkout that the repair never saw. What it did in words, or how it was found, is not
looked at.
"""

from __future__ import annotations

import json
from pathlib import Path

from coe_lsp.execution.interpreter import probe
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker
from coe_lsp.files import replacing
from coe_lsp.repair.target.source import SourceFile, split_lines
from training.bugs.bugs import BugError
from training.bugs.changes import find_hunks
from training.bugs.harvest import run_all_tests
from training.meaning import meaning

_LIMITS = Limits(wall_seconds=180.0, test_seconds=10.0, timeouts=3)


class Judge:
    """Judges patches of one bug in a checkout of its own, with all tests."""

    def __init__(self, checkout, kept):
        """What passes with the human fix is measured once a version and kept in a folder `kept`.

        BugError if the tests that saw the bug do not pass with the human fix here.
        """
        self.checkout = checkout
        bug = checkout.bug
        self._file = bug.files[0]
        self._judged = {}
        self._sandbox = find_sandbox("auto")
        self._interpreter = probe(checkout.python, checkout.root, self._sandbox)
        self._files, self.wanted = self._measured(
            kept / f"{bug.origin.name.replace('/', '+')}.json"
        )
        if not self.wanted >= set(bug.failing):
            raise BugError(f"{bug.bug_id}: its tests do not all pass with the human fix here.")

    def is_right(self, texts):
        """Whether files with these texts (bytes by path) pass all that the human fix passes."""
        key = frozenset(texts.items())
        if key not in self._judged:
            self._judged[key] = not self.missing(texts)
        return self._judged[key]

    def missing(self, texts):
        """The tests that pass with the human fix and not with files of these texts."""
        root = self.checkout.root
        before = {path: (root / path).read_bytes() for path in texts}
        try:
            _write(root, texts)
            left = self.wanted - self._passing(self._files)
            # A test that a busy machine was too slow for gets a second chance.
            return left - self._passing(self._files, sorted(left)) if left else left
        finally:
            _write(root, before)

    def _measured(self, kept):
        """The files of tests that can be imported, and the tests that pass twice."""
        if not kept.exists():
            self.checkout.write(self.checkout.fixed)
            root = self.checkout.root
            files, run = run_all_tests(root, self._interpreter, self._sandbox, _LIMITS)
            if run.status != "completed":  # a list that is cut short would judge too kindly
                raise BugError(f"The whole suite does not end with the human fix: {run.detail}.")
            steady = _passed(run) & self._passing(files)
            self.checkout.write(self.checkout.faulty)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as part:
                part.write_text(json.dumps([files, sorted(steady)]), encoding="utf-8")
        files, steady = json.loads(kept.read_text(encoding="utf-8"))
        return files, set(steady)

    def _passing(self, files, select=None):
        root = self.checkout.root
        suite = Suite("pytest", root, root / self._file, tuple(files))
        with Worker(suite, self._interpreter, self._sandbox, _LIMITS) as worker:
            return _passed(worker.run(select=select))


def _passed(run):
    return {result.id for result in run.results if result.outcome == "passed"}


def _write(root, texts):
    for path, data in texts.items():
        (root / path).write_bytes(data)


def patched_texts(repaired, outcome, root):
    """The bytes of each file that a patch changes, by path relative to the root."""
    changed = repaired.patch.apply(outcome.sources)
    return {
        source.path.resolve().relative_to(root).as_posix(): source.encode(source.lines)
        for source in changed.values()
    }


def is_human(texts, checkout):
    """Whether the files are what people made of them, by their syntax trees.

    Docstrings and annotations do not count.
    """
    if not texts.keys() <= checkout.fixed.keys():
        return False
    now = {path: text.encode() for path, text in checkout.faulty.items()} | texts
    return all(_tree(now[path]) == meaning(text) for path, text in checkout.fixed.items())


def _tree(data):
    return meaning(data.decode("utf-8", "replace"))


def places_of_fix(checkout):
    """The functions of the faulty files that the human fix changes, as (file, qualified name).

    Those around them count too. Empty if it changes none.
    """
    found = set()
    for path, faulty in checkout.faulty.items():
        functions = SourceFile.parse(Path(path), faulty.encode()).functions()
        lines = split_lines(faulty)
        fixed = split_lines(checkout.fixed[path])
        for hunk in find_hunks(lines, fixed):
            found |= {(path, f.name) for f in functions if _touches(hunk, f, lines, fixed)}
    return found


def _touches(hunk, function, lines, fixed):
    if hunk.last > hunk.first:
        return function.first <= hunk.last and hunk.first < function.last
    if hunk.first == function.last:  # only what is indented deeper goes on with it
        new = next((line for line in fixed[hunk.start : hunk.end] if line.strip()), "")
        return _indentation(new) > _indentation(lines[function.first - 1])
    return function.first <= hunk.first < function.last


def _indentation(line):
    return len(line) - len(line.lstrip(" \t"))
