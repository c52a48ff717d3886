"""What nobody sends on purpose: generators of bytes, values and messages, right, wrong and nearly right.

Strategies for hypothesis, and `fuzzed`, which gives each input its own deadline. Shared by the
tests of this folder only; what is true of the results is said there.
"""

import contextlib
import json
import os
import signal
import struct
import threading

from chain_strategies import commands, damaged_commands
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coe_lsp.chain.commands import render

# -- how inputs are tried


class Hangs(Exception):
    """One input took too long; not an AssertionError, which code under test might catch."""


@contextlib.contextmanager
def deadline(seconds):
    """End what runs in the main thread when the time is over."""

    def on_alarm(number, frame):
        raise Hangs(f"still busy after {seconds} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzzed(strategy, examples, check, seconds=10.0, *, shrink=True):
    """Try `check` on that many inputs, the same ones every time."""
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])]

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,  # ours does not take a busy machine for a fault of a few milliseconds
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value):
        with deadline(seconds):
            check(value)

    one()


# -- texts and values

# What has broken programs before: surrogates, separators, nulls, bidi, escapes, marks of ours.
_ODD = [
    "", "\x00", "\ud800", "\udfff", "\u2028", "\x85", "\ufeff", "\x1b[2J", "\u202e", "\r\n", "\n",
    "é", "😀", "a" * 300, "../..", "~", "*", "{}", "%s", "%00", "none", "null", "NaN", "-1", "1e999",
    "file:///", "coe", "<module>", "def f(:", " ", "\\", '"',
]  # fmt: skip
any_text = st.one_of(
    st.sampled_from(_ODD),
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.lists(st.sampled_from(_ODD), max_size=4).map("".join),
)
any_number = st.one_of(
    st.integers(-3, 130),
    st.sampled_from(
        [2**31, 2**32, -(2**31) - 1, 2**53 + 1, 2**63, 2**64, -(2**63), 10**30, 10**400]
    ),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e-320, 1e308, 0.1, 1.5]),
)
scalars = st.one_of(st.none(), st.booleans(), any_number, any_text)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(any_text, inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def deep(draw):
    """JSON that is nested deeper than whoever reads it recursively likes."""
    depth = draw(st.sampled_from([90, 300, 900, 3000, 60_000]))
    opening, closing = draw(st.sampled_from(["[]", ('{"a":', "}"), ('[{"a":', "}]")]))
    return (opening * depth + "1" + closing * draw(st.sampled_from([depth, 0]))).encode()


def dumped(value, draw=None):
    """JSON as bytes; surrogates as escapes, as Python's own writer has them."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw, data):
    """Bytes with some of them taken out, doubled, changed, or cut at the end."""
    text = draw(data)
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 6)))
        middle = draw(st.one_of(st.just(b""), st.just(text[begin:end] * 2), st.binary(max_size=4)))
        rest = draw(st.sampled_from([text[end:], text[end:], b""]))
        text = text[:begin] + middle + rest
    return text


bodies = st.one_of(
    json_values.map(dumped),
    damaged(json_values.map(dumped)),
    deep(),
    st.binary(max_size=60),
    st.sampled_from([b"", b"9" * 5000, b"1e99999", b"\xff\xfe{}", b"nul", b'{"a":1}{"b":2}']),
)

# -- frames of the worker


def frame(body):
    """As `wire` writes it."""
    return struct.pack(">I", len(body)) + body


lengths = st.one_of(
    st.integers(0, 300),
    st.sampled_from([2**16, 2**24, 2**24 + 1, 2**26, 2**26 + 1, 2**31, 2**32 - 1]),
)
streams = st.lists(
    st.one_of(
        bodies.map(frame),
        st.dictionaries(any_text, json_values, max_size=3).map(dumped).map(frame),
        damaged(st.dictionaries(any_text, json_values, max_size=3).map(dumped).map(frame)),
        st.builds(lambda n, rest: struct.pack(">I", n) + rest, lengths, st.binary(max_size=80)),
        st.binary(max_size=20),
    ),
    max_size=5,
).map(b"".join)


@st.composite
def in_pieces(draw, data):
    """A stream as a pipe delivers it: in whatever pieces."""
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


# -- the worker's answers

_test_ids = st.one_of(
    st.sampled_from(["tests/test_a.py::test_b", "test_a.py::test[\ud800]"]), any_text
)
_results = st.fixed_dictionaries(
    {
        "id": _test_ids,
        "outcome": st.sampled_from(["passed", "failed", "error", "timeout", "skipped"]),
    },
    optional={
        "detail": any_text,
        "line": st.one_of(st.none(), st.integers(-5, 10**9)),
        "output": any_text,
        "seconds": st.floats(),
    },
)
_numbers = st.lists(st.integers(-2, 10**6), max_size=4)
good_replies = st.fixed_dictionaries(
    {"frame": st.just("RunReply"), "token": st.just("token")},
    optional={
        "status": st.sampled_from(["completed", "timeout", "crashed", "processes", "memory"]),
        "detail": any_text,
        "results": st.lists(_results, max_size=4),
        "collected": st.lists(_test_ids, max_size=4),
        "lines": st.dictionaries(_test_ids, _numbers, max_size=3),
        "entries": st.dictionaries(_test_ids, _numbers, max_size=3),
        "output": any_text,
        "seconds": st.floats(),
        "hot": st.booleans(),
        "retire": st.booleans(),
        "ending": st.booleans(),
    },
)


@st.composite
def wrong_somewhere(draw, good, values=json_values):
    """A value whose parts are right, but for one to three at any depth."""
    value = draw(good)
    for _ in range(draw(st.integers(1, 3))):
        value = _with(draw, value, values)
    return value


def _with(draw, value, values):
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(list(value)))
        change = draw(st.sampled_from(["into", "into", "drop", "add"]))
        if change == "drop":
            return {k: v for k, v in value.items() if k != key}
        if change == "add":
            return {**value, draw(any_text): draw(values)}
        return {**value, key: _with(draw, value[key], values)}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _with(draw, value[at], values), *value[at + 1 :]]
    return draw(values)


replies = st.one_of(
    good_replies, wrong_somewhere(good_replies), st.dictionaries(any_text, json_values, max_size=4)
)

# -- output with marks of tests in it

NONCE = "0123"
output = st.lists(
    st.one_of(
        st.binary(max_size=30),
        any_text.map(lambda name: b"\x00coe:0123:" + name.encode("utf-8", "replace") + b"\x00"),
        st.sampled_from(
            [b"\x00", b"\x00coe:", b"\x00coe:0123:", b"\x00coe:0124:x\x00", b"x" * 200]
        ),
        st.integers(1, 9).map(lambda n: b"\x00coe:0123:x"[:n]),
    ),
    max_size=12,
).map(b"".join)

# -- commands

_pieces = [
    "### ",
    "ADDL",
    "REPL",
    "REPW",
    "DELL",
    "EXIT",
    " ",
    " >>>",
    ">>>",
    "\n",
    "x",
    "1",
    "2",
    "12",
]


def _digits(number):
    return "9" * 5000 if number > 10**100 else str(number)


_ENDS = ["\n", "\n\n", "\r\n", " ", " >>>", "\x85"]
_rest = st.lists(st.one_of(any_text, st.sampled_from([" >>>", "x", "\n"])), max_size=4).map("".join)
command_texts = st.one_of(
    commands.map(render),
    commands.map(render),
    damaged_commands(),
    st.builds(lambda command, rest: render(command) + rest, commands, _rest),
    st.builds(lambda command, end: render(command) + end, commands, st.sampled_from(_ENDS)),
    st.builds(
        lambda name, number, rest: f"### {name} {number} >>>{rest}",
        st.sampled_from(["ADDL", "REPL", "REPW", "DELL", "EXIT"]),
        st.one_of(st.integers(-1, 14), st.sampled_from([10**9 - 1, 10**9, 10**5000])).map(_digits),
        _rest,
    ),
    st.lists(st.one_of(st.sampled_from(_pieces), any_text), max_size=9).map("".join),
)
programs = st.lists(st.one_of(any_text, st.sampled_from(["x", "x = 1"])), max_size=12).map(
    "\n".join
)

# -- settings

setting_values = st.one_of(
    json_values,
    st.sampled_from(
        [1, 5, 64, 65, 0.1, 3600, "auto", "off", "onSave", "preview", ["a"], ["a", 1], []]
    ),
    # TOML has hexadecimal numbers, which have no limit of digits.
    st.just(16**3700),
)


def layers(names):
    """What an editor, or a file of a project, may have as settings."""
    return st.one_of(
        st.dictionaries(st.one_of(st.sampled_from(names), any_text), setting_values, max_size=8),
        json_values,
        st.none(),
    )


_toml = st.sampled_from([
    "[tool.coe]", "[tool]", "[[tool]]", "[[tool.coe]]", "tool.coe", "tool", "coe", "=", " ", "\n",
    "budget", "model", "python", "tests", "samples", "run", "1", "0x" + "f" * 3700, "9" * 5000, "[" * 3000,
    "{", "}", "]", "'", '"""', "nan", "-inf", "1979-05-27", "1979-99-99T25:61:00", "#", "\\ud800", "true",
    "budget = 5\n", "[tool.coe]\nbudget = 1\n", "\r", "\x00", "é",
])  # fmt: skip
toml_bytes = st.one_of(
    st.lists(_toml, max_size=12).map(lambda parts: "".join(parts).encode()),
    st.builds(
        lambda name, value: b"[tool.coe]\n" + name.encode() + b" = " + value,
        st.sampled_from(["budget", "model", "tests", "samples", "idleMinutes", "x"]),
        st.one_of(
            json_values.map(dumped),
            deep(),
            st.sampled_from([b"0x" + b"f" * 3700, b"9" * 6000, b"inf", b"nan"]),
        ),
    ),
    st.binary(max_size=80),
    st.sampled_from([b"\xff\xfe[\x00", b"\xef\xbb\xbf[tool.coe]\nbudget=5\n"]),
)

# -- arguments

_options = [
    "--tests", "--python", "--test-timeout", "--sandbox", "--model", "--adapter", "--budget", "--samples",
    "--seed", "--apply", "--json", "--help", "--version", "--", "-", "--only", "--tcp",
]  # fmt: skip
# What a shell hands over: no null, and bytes that are no UTF-8 as Python decodes them.
_given = any_text.map(
    lambda text: os.fsdecode(text.encode("utf-8", "surrogatepass").replace(b"\x00", b""))
)
_typed = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "-1",
            "1e999",
            "nan",
            "1e308",
            "99999999999",
            "9" * 5000,
            "auto",
            "off",
            "none",
            "١",
        ]
    ),
    _given,
)
argument_lists = st.builds(
    lambda command, rest: [*command, *rest],
    st.sampled_from([
        ["repair"], ["tests"], ["models"], ["models", "list"], ["models", "path"], ["doctor"], ["demo"],
        ["serve"], ["repare"], [],
    ]),
    st.lists(st.one_of(st.sampled_from(_options), _typed), max_size=7),
)  # fmt: skip
targets = st.one_of(
    st.sampled_from([
        "empty.py", "bytes.py", "folder", "folder.py", "missing.py", "deep.py", "untested.py", "link.py",
        "empty.py::f", "untested.py::f::g", "::", "untested.py::", "/dev/null", "/proc/self/mem", ".", "a" * 5000,
    ]),
    _given,
)  # fmt: skip

# -- the protocol's messages

_METHODS = [
    "textDocument/didOpen", "textDocument/didChange", "textDocument/didSave", "textDocument/didClose",
    "textDocument/hover", "textDocument/codeAction", "textDocument/codeLens", "textDocument/completion",
    "workspace/executeCommand", "workspace/didChangeConfiguration", "workspace/didChangeWatchedFiles",
    "workspace/didChangeWorkspaceFolders", "window/workDoneProgress/cancel", "$/cancelRequest",
    "$/setTrace", "$/progress", "notebookDocument/didOpen", "notebookDocument/didChange", "initialize",
    "initialized", "workspace/applyEdit", "textDocument/publishDiagnostics", "coe/preview", "coe/status",
]  # fmt: skip
_COMMANDS = [
    "coe.cancel",
    "coe.showChain",
    "coe.restartWorker",
    "coe.check",
    "coe.repair",
    "coe.repairFile",
    "no.such",
]
_numbers_of_messages = st.one_of(
    st.integers(0, 20), any_text, any_number, st.sampled_from([None, True, [], {}])
)


def messages(uris):
    """Bodies of messages on documents at these addresses, in bytes."""
    uri = st.one_of(
        st.sampled_from(uris),
        any_text,
        st.sampled_from(
            ["file:///etc/passwd", "untitled:1", "file:", "http://[", "file:///%ff%00"]
        ),
    )
    position = st.fixed_dictionaries(
        {"line": st.one_of(st.integers(0, 9), any_number), "character": any_number}
    )
    document = st.fixed_dictionaries({"uri": uri}, optional={"version": any_number})
    place = st.fixed_dictionaries({"start": position, "end": position})
    text = st.one_of(
        any_text,
        st.just("def clamp(value, low, high):\n    return low\n"),
        st.just("x = 1\n" * 50),
    )
    params = st.fixed_dictionaries(
        {},
        optional={
            "textDocument": st.one_of(
                document,
                st.fixed_dictionaries(
                    {
                        "uri": uri,
                        "languageId": st.just("python"),
                        "version": any_number,
                        "text": text,
                    }
                ),
            ),
            "contentChanges": st.lists(
                st.fixed_dictionaries(
                    {"text": text}, optional={"range": place, "rangeLength": any_number}
                ),
                max_size=3,
            ),
            "position": position,
            "range": place,
            "context": st.fixed_dictionaries(
                {"diagnostics": st.lists(json_values, max_size=2)}, optional={"only": json_values}
            ),
            "command": st.one_of(st.sampled_from(_COMMANDS), any_text),
            "arguments": st.one_of(
                json_values,
                st.lists(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "uri": uri,
                            "function": any_text,
                            "position": position,
                            "repair": any_number,
                        },
                    ),
                    max_size=2,
                ),
            ),
            "settings": json_values,
            "changes": st.lists(
                st.fixed_dictionaries({"uri": uri, "type": any_number}), max_size=3
            ),
            "event": json_values,
            "token": _numbers_of_messages,
            "id": _numbers_of_messages,
            "value": json_values,
            "capabilities": json_values,
            "processId": any_number,
        },
    )
    request = st.fixed_dictionaries(
        {
            "jsonrpc": st.just("2.0"),
            "method": st.one_of(st.sampled_from(_METHODS), st.sampled_from(_METHODS), any_text),
        },
        optional={
            "id": _numbers_of_messages,
            "params": st.one_of(params, params, wrong_somewhere(params)),
        },
    )
    # Changes of documents as editors make them come often, so that there is a state to break.
    opened = st.builds(
        lambda u, t: {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": {"uri": u, "languageId": "python", "version": 1, "text": t}}},
        st.sampled_from(uris), text,
    )  # fmt: skip
    changed = st.builds(
        lambda u, t, n: {"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"textDocument": {"uri": u, "version": n}, "contentChanges": [{"text": t}]}},
        st.sampled_from(uris), text, st.integers(0, 9),
    )  # fmt: skip
    response = st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "id": _numbers_of_messages},
        optional={
            "result": json_values,
            "error": st.one_of(
                json_values, st.fixed_dictionaries({"code": any_number, "message": any_text})
            ),
        },
    )
    good = st.one_of(request, request, request, opened, changed, response, wrong_somewhere(request))
    return st.one_of(
        good.map(dumped), good.map(dumped), good.map(dumped), st.lists(good, max_size=3).map(dumped),
        damaged(good.map(dumped)), good.map(lambda m: json.dumps(m, ensure_ascii=False).encode("utf-8", "surrogatepass")),
        good.map(lambda m: json.dumps(m).encode("utf-16")), bodies,
    )  # fmt: skip


_headers = st.sampled_from([
    b"Content-Length: %d\r\n\r\n", b"Content-Length: %d\r\n\r\n", b"Content-Length: %d\r\n\r\n",
    b"content-length:%d\r\n\r\n", b"Content-Length:   %d  \r\n\r\n",
    b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
    b"Content-Length: %d\r\nX-Odd: \xff\xfe: :\r\n\r\n", b"Content-Length: %d\n\n",
])  # fmt: skip


def whole(uris):
    """Messages whose beginning and end are plain."""
    return st.builds(lambda head, body: head % len(body) + body, _headers, messages(uris))


def cut(uris):
    """What leaves nobody any wiser as to where the next message begins."""
    wrong = st.sampled_from([
        b"Content-Length: -5\r\n\r\n", b"Content-Length: x\r\n\r\n", b"Content-Length: \r\n\r\n", b"\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 9" + b"9" * 5000 + b"\r\n\r\n",
        b"Content-Length: 300000000\r\n\r\n", b"Content-Length: 1_0\r\n\r\n{}", b"Content-Length: 0x10\r\n\r\n",
        b"X: y\r\n" * 60 + b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 6000, b"Content-Length 5\r\n\r\n",
    ])  # fmt: skip
    short = st.builds(
        lambda body, less: b"Content-Length: %d\r\n\r\n" % max(0, len(body) - less) + body,
        messages(uris).filter(lambda body: len(body) > 40),
        st.integers(1, 9),
    )
    return st.one_of(
        wrong, wrong, short, st.binary(min_size=1, max_size=60).map(lambda data: data + b"\r\n")
    )
