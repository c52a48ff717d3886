"""The real server process over its pipes, sent what no editor sends; it must go on or end in order.

One process for many inputs, so that they meet a state that others have left. After each a sane
request must be answered. Where nobody can know any more where a message begins, or the client has
gone, the server ends with its status, a reason, and nothing left below it. The same inputs every
time, though not the same moments: what runs meanwhile is as quick as the machine.
"""

import sys

import fuzz
import pytest
from hypothesis import strategies as st
from samples import CLAMP, TEST_CLAMP
from stress_client import Ended, Server, below, gone

ANSWER_SECONDS = 30  # on a machine that is busy
END_SECONDS = 15
# Stories after which a server is ended in order and another one started.
LIFE = 250
SETTINGS = {"model": "none", "budget": 1, "testTimeout": 0.5, "python": sys.executable}


class Target:
    """A server, as long as it may live, and all that it was sent."""

    def __init__(self, folder, variables):
        self.folder, self.variables = folder, variables
        self.server = None
        self.answers = None
        self.stories = 0
        self.sent = []
        self.failed = None

    def _answer(self, message):
        """What the client answers: what it should, or what the story has."""
        if self.answers is not None:
            return dict(self.answers) or None
        if message["method"] == "workspace/configuration":
            return {"result": [SETTINGS for _ in message["params"]["items"]]}
        results = {"coe/preview": {"accept": 0}, "workspace/applyEdit": {"applied": True}}
        return {"result": results.get(message["method"])}

    def start(self, *, initialized=True):
        """A server that knows nothing yet."""
        self.finish()
        self.sent, self.stories = [], 0
        self.server = Server(self.folder / "server", self._answer, **self.variables)
        if initialized:
            assert "result" in self.server.initialize(self.folder)
        return self.server

    def running(self):
        """The server as the last story left it, or another one."""
        self.stories += 1
        if self.server is None or self.stories > LIFE:
            self.start()
        return self.server

    def send(self, data):
        self.sent.append(data)
        self.server.send_bytes(data, ANSWER_SECONDS)

    def probe(self):
        """What any editor may ask at any time; the answer."""
        params = {
            "textDocument": {"uri": self.folder.as_uri()},
            "position": {"line": 0, "character": 0},
        }
        return self.server.request("textDocument/hover", params, ANSWER_SECONDS)

    def gone(self, *statuses):
        """The server must end by itself, with one of these statuses."""
        server, self.server = self.server, None
        try:
            children = below(server.pid)
            assert server.ended(END_SECONDS) in statuses, server.errors()
            assert gone(children, 5) == []
            assert "Traceback" not in server.errors(), server.errors()
            return server.errors()
        finally:
            server.close()

    def finish(self):
        """End the server that runs, if one does, as an editor does."""
        if self.server is not None:
            self.answers = None
            self.server.request("shutdown", None, ANSWER_SECONDS)
            self.server.notify("exit", None)
            self.gone(0)

    def close(self):
        if self.server is not None:
            self.server.close()


@pytest.fixture
def target(tmp_path, write):
    write("pyproject.toml", "")
    write("ranges.py", CLAMP)
    write("tests/test_ranges.py", TEST_CLAMP)
    write("plain.py", "x = 1\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    one = Target(
        tmp_path,
        {
            "TMPDIR": str(temporary),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "COE_LSP_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "1",
        },
    )
    yield one
    one.close()


def goes_on(target, messages, _):
    """Most of the time: the server answers as if nothing had been."""
    target.running()
    for data in messages:
        target.send(data)
    target.server.execute("coe.cancel", {})
    assert "error" not in target.probe()


def too_early(target, messages, _):
    """Before `initialize`: refused, and then served all the same."""
    target.start(initialized=False)
    for data in messages:
        target.send(data)
    target.probe()
    target.server.initialize(target.folder)
    target.finish()


def too_late(target, messages, _):
    """After `shutdown`: refused."""
    target.running()
    target.server.request("shutdown", None, ANSWER_SECONDS)
    for data in messages:
        target.send(data)
    assert target.probe()["error"]["code"] == -32600
    target.server.notify("exit", None)
    target.gone(0)


def cut_off(target, messages, rest):
    """No telling where the next message begins: the end, with a reason."""
    target.running()
    try:
        for data in (*messages, rest, b"\r\n\r\n"):
            target.send(data)
        target.server.process.stdin.close()
    except Ended:
        pass  # in the midst of it
    errors = target.gone(1, 2)
    if target.server is None and "cannot be read" in errors:
        assert errors.count("\n") == 1, errors


def abandoned(target, messages, rest):
    """The client goes in the midst of a message."""
    target.running()
    for data in messages:
        target.send(data)
    target.send(b"Content-Length: 70000\r\n\r\n" + rest[:1000])
    target.server.process.stdin.close()
    target.gone(1)


def stories(uris):
    acts = [goes_on] * 80 + [too_early, too_late, cut_off, cut_off, abandoned]
    answers = st.one_of(
        st.none(),
        st.none(),
        st.fixed_dictionaries({"result": fuzz.json_values}),
        st.fixed_dictionaries({"result": st.lists(fuzz.json_values, min_size=1, max_size=2)}),
        st.fixed_dictionaries(
            {"error": st.fixed_dictionaries({"code": st.integers(-9, 9), "message": fuzz.any_text})}
        ),
        st.fixed_dictionaries({"error": fuzz.json_values}),
        st.just({}),
    )
    return st.tuples(
        st.sampled_from(acts),
        st.lists(fuzz.whole(uris), min_size=1, max_size=4),
        fuzz.cut(uris),
        answers,
    )


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.skipif(sys.platform != "linux", reason="what is left is read from /proc")
@pytest.mark.parametrize("examples", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_messages(examples, target, tmp_path):
    paths = ("ranges.py", "tests/test_ranges.py", "plain.py", "missing.py")
    uris = [(tmp_path / path).as_uri() for path in paths]

    def check(story):
        act, messages, rest, answers = story
        if target.failed:  # hypothesis tries once more, with a server that is in no such state
            raise AssertionError(target.failed)
        try:
            target.answers = answers
            act(target, messages, rest)
        except AssertionError as error:
            said = target.server.errors()[-3000:] if target.server else ""
            (tmp_path / "sent.bin").write_bytes(b"".join(target.sent))
            last = [data[:300] for data in target.sent[-4:]]
            target.failed = (
                f"{act.__name__}: {error}\nit wrote {said}\nit was sent sent.bin, at last {last}"
            )
            raise

    fuzz.fuzzed(stories(uris), examples, check, 120, shrink=False)
    target.finish()
