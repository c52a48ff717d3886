"""Counting sort of small whole numbers."""


def counting_sort(numbers, largest):
    counts = [0] * (largest + 1)
    for number in numbers:
        counts[number] += 1
    result = []
    for value, count in enumerate(counts):
        result.extend([value] * count)
    return result


RIGHT = "counts = [0] * (largest + 1)"
WRONG = "counts = [0] * largest"
TESTS = """
counting_sort([3, 0, 2, 3], 3) == [0, 2, 3, 3]
counting_sort([], 5) == []
counting_sort([1, 1, 0], 1) == [0, 1, 1]
counting_sort([4, 2], 5) == [2, 4]
"""
