"""Thousands of wrong inputs for everything that reads what others wrote.

The same ones every time. A few hundred of each kind by default; `-m slow` tries more than ten
thousand. Nothing may crash, hang, or leave a process behind.
"""

import contextlib
import io
import json
import os
import threading
import time

import attrs
import fuzz
import pytest

from coe_lsp.chain.commands import Command, CommandError, parse, render
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.cli.main import main
from coe_lsp.cli.settings import settings_for
from coe_lsp.errors import CoeError
from coe_lsp.execution.coe_worker import wire
from coe_lsp.execution.coe_worker.messages import PreforkReply, RunReply, SetupFailed
from coe_lsp.execution.coe_worker.output import OutputSplitter
from coe_lsp.execution.replies import read_reply, to_run
from coe_lsp.execution.suite import Run, TestResult
from coe_lsp.settings import RULES, Settings, project_layer, read_settings


def sizes(few, many):
    """How many inputs by default, and how many in the slow run."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])


# -- the worker's frames, answers and output


def fed(pieces):
    """What a reader makes of a stream: its messages, and whether it gave up."""
    reader, messages = wire.FrameReader(), []
    try:
        for piece in pieces:
            messages += reader.feed(piece)
    except wire.FrameError:
        return messages, True
    return messages, False


@sizes(300, 2000)
def test_frames_in_pieces(examples):
    def check(pieces):
        messages, broken = fed(pieces)
        assert all(isinstance(message, dict) for message in messages)
        # However it arrives, it says the same.
        together, also_broken = fed([b"".join(pieces)])
        assert broken == also_broken
        if not broken:
            assert repr(messages) == repr(together)

    fuzz.fuzzed(fuzz.in_pieces(fuzz.streams), examples, check)


@sizes(150, 1000)
def test_frames_from_a_pipe(examples):
    def check(data):
        reader, writer = os.pipe()
        thread = threading.Thread(target=_write, args=(writer, data))
        thread.start()
        try:
            while True:
                assert isinstance(wire.read_frame(reader, time.monotonic() + 5), dict)
        except (wire.FrameError, EOFError):
            pass
        finally:
            os.close(reader)
            thread.join()

    fuzz.fuzzed(fuzz.streams, examples, check)


def _write(descriptor, data):
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(descriptor, data) :]
    os.close(descriptor)


@sizes(300, 2000)
def test_answers_of_the_worker(examples):
    def check(message):
        # As it would arrive.
        try:
            (message,) = wire.FrameReader().feed(fuzz.frame(json.dumps(message).encode()))
            reply = read_reply(message, "token")
        except wire.FrameError:
            return
        assert isinstance(reply, RunReply | PreforkReply | SetupFailed)
        if not isinstance(reply, RunReply):
            return
        run = to_run(reply, hot=False)
        assert isinstance(run, Run) and run.passed + len(run.failures) <= len(run.results)
        assert all(isinstance(result, TestResult) for result in run.results)
        for texts in (run.collected, (run.detail, run.output), *map(_texts, run.results)):
            assert all(isinstance(text, str) for text in texts)
        for lines in (*run.lines.values(), *run.entries.values()):
            assert all(isinstance(line, int) for line in lines)

    fuzz.fuzzed(fuzz.replies, examples, check)


def _texts(result):
    return result.id, result.outcome, result.detail, result.output


@sizes(200, 1000)
def test_output_of_tests(examples):
    def check(pieces):
        splitter = OutputSplitter(fuzz.NONCE, 50)
        for piece in pieces:
            splitter.feed(piece)
        sections = splitter.sections()
        whole = OutputSplitter(fuzz.NONCE, 50)
        whole.feed(b"".join(pieces))
        assert sections == whole.sections()
        # Escaped bytes take four characters.
        assert all(len(text) <= 4 * 50 + 40 for text in sections.values())

    fuzz.fuzzed(fuzz.in_pieces(fuzz.output), examples, check)


# -- the edit language


@sizes(300, 2000)
def test_commands(examples):
    def check(text):
        try:
            command = parse(text)
        except CommandError as error:
            assert str(error)
            return
        assert isinstance(command, Command)
        assert render(command) == text.removesuffix("\n")
        assert parse(render(command)) == command

    fuzz.fuzzed(fuzz.command_texts, examples, check)


@sizes(200, 1000)
def test_commands_on_programs(examples):
    def check(case):
        program, hidden, commands = case
        pad = Scratchpad.from_text(program)
        assert pad.text == program
        pad = attrs.evolve(pad, hidden=frozenset(hidden))
        for text in commands:
            before = pad
            try:
                pad = pad.apply(parse(text))
            except CommandError:
                assert pad == before
            assert Scratchpad.from_text(pad.text).text == pad.text
            assert all(n <= 40 for n in pad.hidden) and isinstance(pad.render(), str)

    strategy = fuzz.st.tuples(
        fuzz.programs,
        fuzz.st.sets(fuzz.st.integers(1, 14)),
        fuzz.st.lists(fuzz.command_texts, max_size=6),
    )
    fuzz.fuzzed(strategy, examples, check)


# -- settings and arguments


def fits(settings):
    """Whether each setting is one that the table allows."""
    for attribute, rule, default in RULES:
        value = getattr(settings, attribute)
        if value != default:
            assert rule.fits(list(value) if rule.kind == "strings" else value), (attribute, value)
    # What is done with numbers.
    assert time.monotonic() - 60 * settings.idle_minutes < time.monotonic()
    assert settings.project_options().limits.wall_seconds > 0


@sizes(300, 2000)
def test_settings(examples):
    names = [rule.name for _, rule, _ in RULES]

    def check(case):
        editor, options, project = case
        settings, problems = read_settings(
            [("editor", editor), ("options", options)], ("pyproject.toml", project)
        )
        assert isinstance(settings, Settings)
        fits(settings)
        assert all(len(problem) < 2000 for problem in problems)

    layer = fuzz.layers(names)
    fuzz.fuzzed(fuzz.st.tuples(layer, layer, layer), examples, check)


@sizes(200, 1500)
def test_settings_of_projects(examples, tmp_path):
    def check(data):
        (tmp_path / "pyproject.toml").write_bytes(data)
        try:
            layer = project_layer(tmp_path)
        except CoeError as error:
            assert "pyproject.toml" in str(error) and len(str(error)) < 2000
            return
        fits(read_settings([], ("pyproject.toml", layer))[0])

    fuzz.fuzzed(fuzz.toml_bytes, examples, check)


@contextlib.contextmanager
def terminal():
    """Standard output and error with the care for bytes that a terminal's have."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        yield out, errors


def written(stream):
    return stream.buffer.getvalue().decode()


def run(arguments):
    """What the command line makes of it: status, output, errors."""
    with terminal() as (out, errors):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    assert status in (0, 1, 2), (status, written(errors))
    for text in (written(out), written(errors)):
        assert "Traceback" not in text and "fault of coe-lsp" not in text, text
    return written(out)


@sizes(200, 1000)
def test_arguments(examples, monkeypatch):
    def command(options):
        """In place of what would be done."""
        if options.command in ("repair", "tests"):
            fits(settings_for(options, None))
        return 0

    monkeypatch.setattr("coe_lsp.cli.main._command", command)
    fuzz.fuzzed(fuzz.argument_lists, examples, run)


@sizes(60, 400)
def test_files_to_test_and_repair(examples, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "empty.py").touch()
    (tmp_path / "bytes.py").write_bytes(b"\x00\xff\xfe")
    (tmp_path / "deep.py").write_text("x = " + "(" * 3000 + ")" * 3000)
    (tmp_path / "untested.py").write_text("def f(x):\n    return x\n")
    (tmp_path / "link.py").symlink_to("link.py")
    for name in ("folder", "folder.py"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    def check(case):
        command, target = case
        out = run([*command, "--", target])
        if "--json" in command:
            assert isinstance(json.loads(out), dict)

    commands = fuzz.st.sampled_from(
        [["tests"], ["repair", "--model", "none"], ["repair", "--model", "none", "--json"]]
    )
    fuzz.fuzzed(fuzz.st.tuples(commands, fuzz.targets), examples, check, 60, shrink=False)
