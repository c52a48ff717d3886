"""Intervals and paired tests, against a count of all outcomes and published values."""

from itertools import product

import pytest

from training.evaluation.comparison import (
    Comparison,
    compare,
    format_p,
    format_percent,
    sign_test,
    wilson,
)


@pytest.mark.parametrize("more", range(8))
def test_sign_test_counts_the_outcomes_that_are_as_uneven(more):
    uneven = abs(more - (7 - more))
    outcomes = [sum(signs) for signs in product((1, -1), repeat=7)]
    expected = sum(abs(total) >= uneven for total in outcomes) / len(outcomes)
    assert sign_test(more, 7 - more) == pytest.approx(expected)


def test_sign_test_agrees_with_scipy():
    """`scipy.stats.binomtest(more, more + fewer).pvalue`, scipy 1.17."""
    assert sign_test(27, 14) == pytest.approx(0.05958388801809633, rel=1e-9)
    assert sign_test(22, 8) == pytest.approx(0.016124801710247997, rel=1e-9)
    assert sign_test(0, 0) == 1


def test_wilson_is_not_empty_where_all_or_none_succeed():
    """`statsmodels` and `scipy` give the same: `binomtest(k, n).proportion_ci(method="wilson")`."""
    assert format_percent(wilson(0, 82)) == "0.0 (0.0 to 4.5)"
    assert format_percent(wilson(82, 82)) == "100.0 (95.5 to 100.0)"
    assert format_percent(wilson(30, 82)) == "36.6 (27.0 to 47.4)"
    with pytest.raises(ValueError, match="no share"):
        wilson(0, 0)


def test_only_tasks_of_both_are_compared():
    pair = compare({"a": 1, "b": 0, "c": 1, "d": 1}, {"a": 0, "b": 0, "c": 1, "e": 1})
    assert pair == Comparison(tasks=3, more=1, fewer=0)
    assert pair.p_value == 1
    assert (format_p(0.0599), format_p(0.0009)) == ("0.06", "< 0.001")
