"""Insertion sort of a copy of a list."""


def insertion_sort(items):
    items = list(items)
    for i in range(1, len(items)):
        current = items[i]
        j = i - 1
        while j >= 0 and items[j] > current:
            items[j + 1] = items[j]
            j -= 1
        items[j + 1] = current
    return items


RIGHT = "while j >= 0 and items[j] > current:"
WRONG = "while j > 0 and items[j] > current:"
TESTS = """
insertion_sort([]) == []
insertion_sort([3, 1, 2]) == [1, 2, 3]
insertion_sort([5, 4, 3, 2, 1]) == [1, 2, 3, 4, 5]
insertion_sort([2, 2, 1]) == [1, 2, 2]
insertion_sort([1]) == [1]
"""
