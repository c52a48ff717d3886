"""What the worker answers, as it is read from outside: each part checked, none believed as to form.

The messages are those of `coe_worker.messages`; here their values are checked too. That a reply has
the right form does not make it true: the tests ran in the process that ran the code under test.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import cattrs

from coe_lsp.execution.coe_worker.messages import PreforkReply, RunReply, SetupFailed
from coe_lsp.execution.coe_worker.wire import FrameError
from coe_lsp.execution.suite import Run

_converter = cattrs.Converter(detailed_validation=False)
Message = TypeVar("Message")


def read_message(frame: dict[str, Any], *expected: type[Message]) -> Message:
    """The message that a frame holds. FrameError if it cannot be one of those expected."""
    name = frame.get("frame")
    for kind in expected:
        if kind.__name__ == name:
            try:
                return _converter.structure(frame, kind)
            except Exception as error:  # the converter's own errors differ from version to version
                reason = json.dumps(str(error)[:80])
                raise FrameError(f"it has the wrong form: {reason}") from error
    raise FrameError("it is no message that may come now")


def read_reply(frame: dict[str, Any], token: str) -> RunReply | PreforkReply | SetupFailed:
    """Check an answer to the run that had this token. FrameError if it cannot be one."""
    reply = read_message(frame, RunReply, PreforkReply, SetupFailed)
    if isinstance(reply, SetupFailed):
        return reply
    if reply.token != token:
        raise FrameError("it answers another run")
    if isinstance(reply, RunReply):
        _check_numbers(reply)
    return reply


def _check_numbers(reply: RunReply) -> None:
    """What is reckoned with must be able to be true."""
    for seconds in (reply.seconds, *(result.seconds for result in reply.results)):
        if not 0 <= seconds < math.inf:  # nothing holds for what is not a number
            raise FrameError("it has a time that cannot be")
    lines = {result.line for result in reply.results if result.line is not None}
    seen = [line for ran in reply.files.values() for line in ran.lines.values()]
    if min(lines.union(*reply.lines.values(), *reply.entries.values(), *seen), default=1) < 1:
        raise FrameError("it has a line that cannot be")


def to_run(reply: RunReply, *, hot: bool) -> Run:
    """What a reply says of the tests. Whether they ran hot is for the client to know."""
    return Run(
        reply.status,
        reply.detail,
        reply.results,
        reply.collected,
        reply.lines,
        reply.entries,
        reply.files,
        reply.output,
        reply.seconds,
        hot,
    )
