"""Feedback: literal, short, bounded whatever the tests print."""

from hypothesis import given
from hypothesis import strategies as st

from coe_lsp.chain.feedback import Failure, malformed_feedback, render_feedback


def test_nothing_is_said_when_all_pass():
    assert render_feedback(5, 5, []) == ""


def test_failures():
    failures = [
        Failure("test_a", "assert 1 == 2\n  where 1 = f(3)", 4),
        Failure("test_b", ""),
    ]
    assert render_feedback(2, 5, failures) == (
        "3 of 5 tests fail\ntest_a (line 4): assert 1 == 2\nwhere 1 = f(3)\ntest_b"
    )


def test_only_the_first_failures_and_lines_are_shown():
    failures = [Failure(f"test_{n}", f"a{n}\n\nb{n}\nc{n}\nd{n}") for n in range(9)]
    shown = render_feedback(0, 9, failures)
    assert shown.split("\n")[0] == "9 of 9 tests fail"
    assert "c1" in shown
    assert "d0" not in shown
    assert "test_2" not in shown


def test_a_long_line_is_cut_and_what_follows_is_still_shown():
    shown = render_feedback(0, 2, [Failure("test_a", "x" * 10_000), Failure("test_b", "boom")])
    assert shown.split("\n")[1].endswith("xxx...")
    assert shown.endswith("\ntest_b: boom")


@given(
    st.integers(0, 10**6),
    st.lists(st.builds(Failure, st.text(), st.text(max_size=2000), st.none() | st.integers(1))),
)
def test_feedback_is_bounded(passed, failures):
    assert len(render_feedback(passed, passed + len(failures), failures)) <= 600
    huge = [Failure("n" * 500, "\n".join(["d" * 500] * 50), 10**6)] * 50
    assert len(render_feedback(passed, passed + 50, huge)) == 600


def test_malformed_says_so_above_what_the_tests_said():
    before = "1 of 2 tests fail\ntest_a: assert 1 == 2"
    once = malformed_feedback("missing >>> before the text", before)
    assert once == f"The last command changed nothing: missing >>> before the text\n{before}"
    assert malformed_feedback("no command was given", "").endswith(": no command was given")


def test_malformed_twice_keeps_only_the_newest_complaint():
    before = "1 of 2 tests fail"
    twice = malformed_feedback("second", malformed_feedback("first", before))
    assert twice == f"The last command changed nothing: second\n{before}"
