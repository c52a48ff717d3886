"""Faults that a model writes into a gap: which gaps there are, and what is kept of the answers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from attrs import evolve

from training.demonstrations.recipe import Mix, Recipe
from training.pipeline import written
from training.pipeline.config import RunConfig
from training.pipeline.workspace import TrainingRun
from training.pipeline.written import read_written
from training.sampling.infill import Infilling, find_gaps, is_plausible, write_faults
from training.sampling.whole_programs import Answer

PROGRAM = '''\
def label(value: int, low=0):
    """Say what it is."""
    import math
    if value < low:
        return "é" + str(value)
    total = 0
    for n in range(value):
        total += n
    return total'''

WRITTEN = Recipe(mix=Mix(written=1.0))


def test_gaps_are_statements_and_values_and_make_up_the_program_again():
    gaps = find_gaps(PROGRAM)
    assert all(gap.before + gap.masked + gap.after == PROGRAM for gap in gaps)
    masked = {gap.masked for gap in gaps}
    assert {
        "value < low", '"é" + str(value)', "range(value)", "n", "total", "0",
        "        total += n",
        '    if value < low:\n        return "é" + str(value)',
        "    total = 0\n    for n in range(value):\n        total += n",
    } <= masked  # fmt: skip
    assert not any("Say" in text or "import" in text or "def" in text for text in masked)
    assert find_gaps("def f(:") == []


@pytest.mark.parametrize(
    ("text", "plausible"),
    [
        ("value <= low", True),
        ("value  <  low", False),
        ("value < low  # really", False),
        ("value <", False),
        ("pass", False),
        ("value\n\n\n\n\n\n< low", False),
    ],
)
def test_what_is_filled_in_is_code_that_means_something_else(text, plausible):
    (gap,) = [gap for gap in find_gaps(PROGRAM) if gap.masked == "value < low"]
    assert is_plausible(gap, text) is plausible


@pytest.mark.parametrize(
    ("masked", "text", "left"),
    [
        ("value < low", "value == 0:\n        return 3\n", "value == 0"),
        ("range(value)", "range(1, value):\n", "range(1, value)"),
        (
            "        total += n",
            "        total = n\n    return total\n\ndef x():",
            "        total = n",
        ),
        (
            '    if value < low:\n        return "é" + str(value)',
            "    if value:\n        return 1\n    else:\n        return 2\n    total = 0\n    for",
            "    if value:\n        return 1\n    else:\n        return 2",
        ),
        (
            "    return total",
            "    return [\n        n\n    ]\n    return",
            "    return [\n        n\n    ]",
        ),
    ],
)
def test_what_a_model_writes_beyond_the_gap_is_cut(masked, text, left):
    (gap,) = [gap for gap in find_gaps(PROGRAM) if gap.masked == masked]
    assert gap.cut(text) == left
    assert gap.cut(masked) == masked


class Canned:
    """A writer that has its answers ready, by what is masked."""

    at_once = 4
    format = "chatml"

    def __init__(self, answers, tokens=1):
        self._answers = answers
        self._tokens = tokens

    def count_tokens(self, segment):
        assert segment.special
        return self._tokens

    def answers(self, questions, each, sampling):
        assert sampling.temperature == 1.0 and sampling.top_k == 0
        assert all(question.segments[0].special for question in questions)
        return [[Answer(text, 5) for text in self._answers[:each]] for _ in questions]


def test_only_programs_that_fail_are_kept(task, sandbox):
    """`len(values)` counts too much; what is right in other words passes, and is no fault."""
    right = "sum(1 for value in values if limit < value)"
    writer = Canned(["    return len(values)", f"    return {right}", "    return ("])
    made = list(write_faults([task], writer, Infilling(gaps=50, each=3), sandbox, threads=1))
    assert made and all(one.reference == task.reference for one in made)
    assert any("return len(values)" in (one.code or "") for one in made)
    assert task.reference.replace("return total", f"return {right}") not in {o.code for o in made}
    assert len({one.task_id for one in made}) == len(made)
    assert list(write_faults([], writer, Infilling(), sandbox, threads=1)) == []


class Interrupted(Exception):
    pass


def test_a_run_has_them_written_once_and_goes_on_after_a_kill(task, sandbox, tmp_path, monkeypatch):
    tasks = [evolve(task, task_id=f"toy#{n}") for n in range(10)]
    asked = []

    class Writer(Canned):
        def answers(self, questions, each, sampling):
            asked.append(len(questions))
            if len(asked) == 2:
                raise Interrupted
            return super().answers(questions, each, sampling)

    writer = Writer(["    return len(values)", "0"])
    monkeypatch.setattr(written, "open_base_writer", lambda run, each: nullcontext(writer))
    said = []
    config = RunConfig(out=str(tmp_path), processes=1, demonstrations=WRITTEN)
    run = TrainingRun(config, lambda *given: None, say=said.append)
    with pytest.raises(Interrupted):
        read_written(run, tasks)
    made = read_written(run, tasks)
    assert made is not None and set(made) == {task.task_id for task in tasks}
    assert all(program != task.reference for some in made.values() for program in some)
    assert len(asked) == 3  # the first eight tasks once, the other two after the kill again
    assert read_written(run, tasks) == made and len(asked) == 3 and not said


def test_a_base_that_knows_no_gaps_writes_none_and_says_so(task, tmp_path, monkeypatch):
    writer = Canned([], tokens=3)
    monkeypatch.setattr(written, "open_base_writer", lambda run, each: nullcontext(writer))
    said = []
    run = TrainingRun(
        RunConfig(out=str(tmp_path), demonstrations=WRITTEN), lambda *given: None, say=said.append
    )
    assert read_written(run, [task]) == {}
    assert "cannot fill in gaps" in said[0]
