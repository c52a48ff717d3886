"""Shell's sort, with gaps that are halved."""


def shell_sort(items):
    items = list(items)
    gap = len(items) // 2
    while gap > 0:
        for i in range(gap, len(items)):
            current = items[i]
            j = i
            while j >= gap and items[j - gap] > current:
                items[j] = items[j - gap]
                j -= gap
            items[j] = current
        gap //= 2
    return items


RIGHT = "j -= gap"
WRONG = "j -= 1"
TESTS = """
shell_sort([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
shell_sort([3, 1, 4, 1, 5, 9, 2, 6]) == [1, 1, 2, 3, 4, 5, 6, 9]
shell_sort([]) == []
shell_sort([2, 1]) == [1, 2]
shell_sort([10, -5, 7, 7, 0, 3, -2]) == [-5, -2, 0, 3, 7, 7, 10]
"""
