"""Episodes: how they end, what a malformed command does, and that a context only grows."""

import pytest
from chain_strategies import commands, programs, texts
from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.chain.commands import Exit, ReplaceLine, render
from coe_lsp.chain.episode import MAX_TURNS, Episode, episode_segments
from coe_lsp.chain.prompt import PromptBuilder, Segment, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad

START = Scratchpad(("def f():", "    return 1"), "1 of 1 tests fail")
NEW = Episode(TaskDescription(tests=("assert f() == 2",)), START)


def test_an_episode_that_solves():
    attempt = NEW.attempt("### REPL 2 >>>    return 2")
    assert attempt.command == ReplaceLine(2, "    return 2")
    assert attempt.pad == Scratchpad(("def f():", "    return 2"), "")
    solved = NEW.extend(attempt, "", True)
    assert (solved.done, solved.solved, solved.exited) == (True, True, False)
    assert solved.pad == attempt.pad
    assert NEW.turns == ()
    assert not NEW.done


def test_exit_ends_it_and_leaves_the_lines():
    attempt = NEW.attempt("### EXIT")
    assert attempt.exits
    ended = NEW.extend(attempt, START.feedback, False)
    assert (ended.done, ended.solved, ended.exited) == (True, False, True)
    assert ended.pad == START


def test_which_edits_lead_back():
    once = NEW.extend(NEW.attempt("### REPL 2 >>>    return 3"), "1 of 1 tests fail", False)
    back = ["### REPL 2 >>>    return 1", "### REPL 2 >>>    return 3", "### REPW 2 >>>3 >>>3"]
    assert [once.goes_back(once.attempt(text)) for text in back] == [True, True, True]
    on = ["### REPL 2 >>>    return 2", "### DELL 2", "### EXIT", "### REPL 9 >>>x", "return 1"]
    assert [once.goes_back(once.attempt(text)) for text in on] == [False] * 5
    assert NEW.goes_back(NEW.attempt("### REPL 1 >>>def f():"))


def test_it_ends_after_ten_turns():
    episode = NEW
    for turn in range(MAX_TURNS):
        assert len(episode.turns) == turn
        assert not episode.done
        episode = episode.extend(episode.attempt("### REPL 1 >>>x"), "all fail", False)
    assert MAX_TURNS == 10
    assert (episode.done, episode.solved, episode.exited) == (True, False, False)
    with pytest.raises(ValueError):
        episode.extend(episode.attempt("### EXIT"), "", False)


@pytest.mark.parametrize("text", ["nonsense", "### REPL 9 >>>x", "### REPW 2 >>>two >>>2", ""])
def test_a_malformed_command_changes_nothing_and_is_told_so(text):
    attempt = NEW.attempt(text)
    assert attempt.command is None
    assert not attempt.exits
    after = NEW.extend(attempt, START.feedback, False)
    assert after.pad.lines == START.lines
    first, *others = after.pad.feedback.split("\n")
    assert first == f"The last command changed nothing: {attempt.error}"
    assert others == ["1 of 1 tests fail"]
    assert not after.done
    # A later good command is not told off again.
    good = after.extend(after.attempt("### REPL 1 >>>x"), "1 of 1 tests fail", False)
    assert good.pad.feedback == "1 of 1 tests fail"


def test_a_line_end_after_the_command_is_no_part_of_the_context():
    with_end, without = NEW.attempt("### EXIT\n"), NEW.attempt("### EXIT")
    assert with_end == without


@given(programs, st.lists(st.one_of(texts, commands.map(render)), max_size=12), st.booleans())
def test_a_context_only_grows(program, answers, instructed):
    task = TaskDescription(context="import os")
    episode = Episode(task, Scratchpad.from_text(program, "1 of 1 tests fail"))
    for format in ("chatml", "llama3", "plain"):
        builder = PromptBuilder(format, instructed=instructed)
        episode = Episode(task, episode.start)
        before = list(episode_segments(builder, episode))
        assert [segment for segment, _ in before] == [*builder.opening(task, episode.start)]
        for answer in answers:
            lines = episode.pad.lines
            episode = episode.extend(episode.attempt(answer), "1 of 1 tests fail", False)
            turn = episode.turns[-1]
            assert (turn.command is None) == (turn.error is not None)
            assert turn.error is None or turn.pad.lines == lines
            after = list(episode_segments(builder, episode))
            written = answer.removesuffix("\n")
            wanted = [(Segment(written), True), (builder.end_of(written), True)]
            if not episode.done:
                wanted += [(segment, False) for segment in builder.next_turn(turn.pad)]
            assert after == before + wanted
            before = after
            if episode.done:
                assert isinstance(turn.command, Exit) or len(episode.turns) == MAX_TURNS
                break
