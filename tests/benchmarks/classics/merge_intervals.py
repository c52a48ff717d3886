"""Intervals that overlap or touch, made one."""


def merge_intervals(intervals):
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


RIGHT = "merged[-1] = (merged[-1][0], max(merged[-1][1], end))"
WRONG = "merged[-1] = (merged[-1][0], end)"
TESTS = """
merge_intervals([(1, 3), (2, 6), (8, 10)]) == [(1, 6), (8, 10)]
merge_intervals([(1, 10), (2, 3)]) == [(1, 10)]
merge_intervals([]) == []
merge_intervals([(5, 6), (1, 5)]) == [(1, 6)]
"""
