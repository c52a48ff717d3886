"""Radix sort of whole numbers, by decimal digits."""


def radix_sort(numbers):
    numbers = list(numbers)
    place = 1
    while numbers and max(numbers) // place > 0:
        digits = [[] for _ in range(10)]
        for number in numbers:
            digits[number // place % 10].append(number)
        numbers = [number for digit in digits for number in digit]
        place *= 10
    return numbers


RIGHT = "while numbers and max(numbers) // place > 0:"
WRONG = "while max(numbers) // place > 0:"
TESTS = """
radix_sort([170, 45, 75, 90, 802, 24, 2, 66]) == [2, 24, 45, 66, 75, 90, 170, 802]
radix_sort([]) == []
radix_sort([7]) == [7]
radix_sort([100, 10, 1]) == [1, 10, 100]
"""
