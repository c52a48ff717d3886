"""The report's comparison of evaluations."""

from training.evaluation.report import compare_results


def test_evaluations_that_share_tasks_are_compared():
    results = {
        "one": {"greedy": {"a": 1.0, "b": 1.0, "c": 0.0}},
        "two": {"greedy": {"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0}},
        "other": {"greedy": {"z": 1.0}},
    }
    head, rule, *rows = compare_results(results).splitlines()
    assert head.count("|") == rule.count("|") == 7
    assert rows == ["| one | two | 3 | 2 | 0 | 0.5 |"]
    assert compare_results({"one": results["one"]}) == ""
