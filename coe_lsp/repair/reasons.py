"""Why no repair is offered, in one sentence, with what to do next.

Goes by what the failing tests said and by how far the searches came. Where nothing is certain
nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from coe_lsp.execution.suite import TestResult

#: What the system itself says where there is no network.
_NO_NETWORK = re.compile(
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
)
_READ_ONLY = re.compile(r"Read-only file system: '(?P<path>[^']+)'")
_MISSING = (
    re.compile(r"cannot import name '(?P<name>\w+)' from '(?P<owner>[\w.]+)'"),
    re.compile(r"module '(?P<owner>[\w.]+)' has no attribute '(?P<name>\w+)'"),
    re.compile(
        r"module '(?P<owner>[\w.]+)' from '[^']*'> does not have the attribute '(?P<name>\w+)'"
    ),
    re.compile(r"type object '(?P<owner>\w+)' has no attribute '(?P<name>\w+)'"),
    re.compile(r"(?P<owner>[\w.]+)\(\) got an unexpected keyword argument '(?P<name>\w+)'"),
)
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'")
_ASSERTS = re.compile(r"AssertionError|assert |Failed: ")
# Fewer programs than these, at so many seconds each, are too few for a search.
_FEW_PROGRAMS, _SLOW_SECONDS = 60, 0.5


@frozen
class Effort:
    """What the searches did: seconds in all, and different programs tested."""

    seconds: float
    tested: int


def why_not_the_code(failures: Sequence[TestResult], root: Path) -> str:
    """Why no change of the code would be right, if all fail for what they are kept from; else ''.

    What passes nevertheless would only hide it.
    """
    told = [_forbidden([failure], root) for failure in failures]
    return told[0] if told and all(told) else ""


def why_no_place(failures: Sequence[TestResult], root: Path) -> str:
    """Why the failing tests lead to nothing that could be repaired."""
    return _told(failures, root) or (
        "The failing tests run no code of the project that could be repaired: name the file at "
        "fault if there is one."
    )


def why_no_repair(failures: Sequence[TestResult], root: Path, effort: Effort) -> str:
    """Why the searches found nothing, if that is known; else ''."""
    if told := _told(failures, root):
        return told
    each = effort.seconds / max(1, effort.tested)
    if effort.tested < _FEW_PROGRAMS and each > _SLOW_SECONDS:
        return (
            f"Only {effort.tested} different programs could be tested, {each:.1f} s each: name a "
            "quicker test, or give it more time with --budget."
        )
    return ""


def _told(failures: Sequence[TestResult], root: Path) -> str:
    return (
        _missing(failures)
        or _not_installed(failures, root)
        or _forbidden(failures, root)
        or _in_test(failures)
    )


def _forbidden(failures: Sequence[TestResult], root: Path) -> str:
    return _network(failures) or _read_only(failures, root)


def _missing(failures: Sequence[TestResult]) -> str:
    """The tests want what is not written yet; where the code itself does, that can be repaired."""
    for failure in failures:
        own = failure.id.partition("::")[0]
        if failure.stack and failure.stack[-1][0] != own:
            continue
        for pattern in _MISSING:
            if found := pattern.search(failure.detail):
                return (
                    f"{failure.id} wants `{found['name']}`, which `{found['owner']}` does not "
                    "have: write it first."
                )
    return ""


def _not_installed(failures: Sequence[TestResult], root: Path) -> str:
    for failure in failures:
        found = _NO_MODULE.search(failure.detail)
        if found:
            name = found["name"]
            top = name.partition(".")[0]
            if any(root.glob(f"{top}*")) or any(root.glob(f"src/{top}*")):
                return f"{failure.id} wants a module {name}, which is not there: write it first."
            return (
                f"{name} is not installed for the Python that runs the tests: install it there, or "
                "name another interpreter with --python (editors: coe.python)."
            )
    return ""


def _network(failures: Sequence[TestResult]) -> str:
    for failure in failures:
        if _NO_NETWORK.search(failure.detail):
            return (
                f"{failure.id} needs the network, which tests are kept from: have the test answer "
                "itself, or run without isolation (--sandbox off, editors: coe.sandbox)."
            )
    return ""


def _read_only(failures: Sequence[TestResult], root: Path) -> str:
    for failure in failures:
        found = _READ_ONLY.search(failure.detail)
        if found and Path(found["path"]).is_relative_to(root):
            return (
                f"{failure.id} writes into the project ({found['path']}), which tests are kept "
                "from: have it write into tmp_path, or run without isolation (--sandbox off, "
                "editors: coe.sandbox)."
            )
    return ""


def _in_test(failures: Sequence[TestResult]) -> str:
    """The test raises by itself, before it asks the code anything."""
    for failure in failures:
        files = {file for file, _ in failure.stack}
        own = failure.id.partition("::")[0]
        if files == {own} and not _ASSERTS.search(failure.detail):
            line = failure.stack[-1][1]
            return (
                f"The error is in the test itself ({own}, line {line}): "
                f"{failure.detail.splitlines()[0][:100]}. Tests are never changed."
            )
    return ""
