"""In how many ways a number is a sum of positive ones."""


def partitions(n, largest=None):
    if largest is None:
        largest = n
    if n == 0:
        return 1
    if n < 0 or largest == 0:
        return 0
    return partitions(n - largest, largest) + partitions(n, largest - 1)


RIGHT = "if n < 0 or largest == 0:"
WRONG = "if largest == 0:"
TESTS = """
partitions(1) == 1
partitions(4) == 5
partitions(7) == 15
partitions(0) == 1
"""
