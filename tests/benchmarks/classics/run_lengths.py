"""Run-length encoding of a text."""


def run_lengths(text):
    runs = []
    count = 0
    for index, letter in enumerate(text):
        count += 1
        if index + 1 == len(text) or text[index + 1] != letter:
            runs.append((letter, count))
            count = 0
    return runs


RIGHT = "runs.append((letter, count))\n            count = 0"
WRONG = "runs.append((letter, count))\n            count = 1"
TESTS = """
run_lengths("aaabc") == [("a", 3), ("b", 1), ("c", 1)]
run_lengths("") == []
run_lengths("zz") == [("z", 2)]
run_lengths("abab") == [("a", 1), ("b", 1), ("a", 1), ("b", 1)]
"""
