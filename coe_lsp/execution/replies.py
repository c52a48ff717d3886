"""What the worker answers, as it is read from outside: each part checked, none believed as to form.

That a reply has the right form does not make it true: the tests ran in the process that ran the
code under test.
"""

from __future__ import annotations

import json
import math
from typing import Any

import cattrs
from attrs import field, frozen

from coe_lsp.execution.coe_worker.wire import FrameError
from coe_lsp.execution.suite import Run, Status, TestResult

_converter = cattrs.Converter(detailed_validation=False)


@frozen
class Reply:
    """An answer to one run. `error` alone says that no test could be run."""

    status: Status = "completed"
    detail: str = ""
    results: tuple[TestResult, ...] = ()
    collected: tuple[str, ...] = ()
    lines: dict[str, frozenset[int]] = field(factory=dict[str, frozenset[int]])
    entries: dict[str, frozenset[int]] = field(factory=dict[str, frozenset[int]])
    output: str = ""
    seconds: float = 0.0
    fit: bool = True
    retire: bool = False
    ending: bool = False
    error: str | None = None

    def run(self, *, swapped: bool) -> Run:
        """What it says of the tests."""
        return Run(
            self.status,
            self.detail,
            self.results,
            self.collected,
            self.lines,
            self.entries,
            self.output,
            self.seconds,
            swapped,
        )


def read_reply(message: dict[str, Any], token: str) -> Reply:
    """Check an answer to the run that had this token. FrameError if it cannot be one."""
    if message.get("token") != token and "error" not in message:
        raise FrameError("it answers another run")
    try:
        reply = _converter.structure(message, Reply)
    except Exception as error:  # the converter's own errors differ from version to version
        raise FrameError(f"it has the wrong form: {json.dumps(str(error)[:80])}") from error
    _check_numbers(reply)
    return reply


def _check_numbers(reply: Reply) -> None:
    """What is reckoned with must be able to be true."""
    for seconds in (reply.seconds, *(result.seconds for result in reply.results)):
        if not 0 <= seconds < math.inf:  # nothing holds for what is not a number
            raise FrameError("it has a time that cannot be")
    lines = {result.line for result in reply.results if result.line is not None}
    if min(lines.union(*reply.lines.values(), *reply.entries.values()), default=1) < 1:
        raise FrameError("it has a line that cannot be")
