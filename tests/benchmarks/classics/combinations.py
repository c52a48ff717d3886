"""All ways to choose so many of some things, in order."""


def combinations(items, count):
    if count == 0:
        return [[]]
    if not items:
        return []
    first, rest = items[0], items[1:]
    with_first = [[first, *others] for others in combinations(rest, count - 1)]
    return with_first + combinations(rest, count)


RIGHT = "return with_first + combinations(rest, count)"
WRONG = "return with_first + combinations(rest, count - 1)"
TESTS = """
combinations([1, 2, 3], 2) == [[1, 2], [1, 3], [2, 3]]
combinations([], 1) == []
combinations([1], 0) == [[]]
combinations("abc", 1) == [["a"], ["b"], ["c"]]
"""
