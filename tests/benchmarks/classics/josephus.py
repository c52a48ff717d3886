"""Who is left when every k-th of n in a circle goes (the first is 0)."""


def josephus(n, k):
    left = 0
    for size in range(2, n + 1):
        left = (left + k) % size
    return left


RIGHT = "for size in range(2, n + 1):"
WRONG = "for size in range(2, n):"
TESTS = """
josephus(1, 3) == 0
josephus(5, 2) == 2
josephus(7, 3) == 3
josephus(41, 3) == 30
"""
