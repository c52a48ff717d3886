"""What demonstrations look like to the eye, and what is counted of them."""

from __future__ import annotations

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from training.__main__ import main
from training.demonstrations.measures import find_targets, measure
from training.demonstrations.show import show
from training.tasks.records import Record, write_records

START = (
    "def mean(values):",
    "    total = 1",
    "    for value in values:",
    "        total += value",
    "    return total / len(value)",
)


def repair():
    """A wrong edit, one on the named line, one that breaks the program, one that mends it."""
    pad = Scratchpad(START, "1 of 1 tests fail\ntest_mean (line 5): TypeError: no len")
    episode = Episode(TaskDescription("", "class Sums:", ("def test_mean(): ...",)), pad)
    for command, feedback in (
        ("### REPL 3 >>>    for value in list(values):", pad.feedback),
        ("### REPL 5 >>>    return total / len(values)", "1 of 1 tests fail\nassert 4 == 3"),
        ("### REPL 2 >>>    total = (0", "1 of 1 tests fail\nthe test ran too long"),
        ("### REPL 2 >>>    total = 0", ""),
    ):
        episode = episode.extend(episode.attempt(command), feedback, not feedback)
    kinds = ["token: constant", "structural: call", "detour: call"]
    return Record("toy/mean", episode, [0], kinds)


def test_targets_are_what_is_learned_and_told_by_what_follows():
    named, breaking, last = find_targets(repair())
    assert (named.changes_feedback, named.names_line, named.on_named_line) == (True, True, True)
    assert breaking.breaks and not breaking.names_line and not breaking.last
    assert last.last and not last.breaks


def test_a_set_of_traces_is_counted():
    simple = Episode(TaskDescription(), Scratchpad(("def f(x):", "    return x < 1"), "fails"))
    simple = simple.extend(simple.attempt("### REPL 2 >>>    return x <= 1"), "", True)
    rows = dict(measure([repair(), Record("toy/f", simple, kinds=["human"])]).rows())
    assert rows["mix as realised"] == "token 50%, human 50%"
    assert rows["goal among the search's first 500"] == "1 of 2 (50%)"
    assert rows["targets after which the feedback changes"] == "4 of 4 (100%)"
    assert rows["targets after which the program parses no more"] == "1 of 4 (25%)"
    assert rows["one line"] == "1 of 2 (50%)" and rows["several hunks"] == "1 of 2 (50%)"
    assert rows["a test ran too long"] == "1 of 2 (50%)" and rows["in a class"] == "1 of 2 (50%)"


def test_a_trace_reads_from_top_to_bottom():
    text = show(repair())
    parts = [
        "toy/mean   [token",
        "class Sums:",
        "def test_mean",
        "2 >>>    total = 1",
        "turn 1, not",
    ]
    parts += ["turn 2, learned\n### REPL 5", "assert 4 == 3", "all tests pass", "-    total = 0"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_command_prints_some_and_measures_all(tmp_path, capsys):
    path = tmp_path / "some.jsonl"
    write_records(path, [repair(), repair()])
    assert main(["show", "--records", str(path), "--count", "1", "--measure"]) == 0
    said = capsys.readouterr().out
    assert said.count("toy/mean") == 1
    assert "traces" in said and "100%" in said
    assert main(["show", "--records", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in " ".join(capsys.readouterr().err.split())
