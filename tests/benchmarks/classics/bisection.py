"""Where a rising function is zero, by halving an interval."""


def bisection(function, low, high, precision=1e-9):
    while high - low > precision:
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


RIGHT = "while high - low > precision:"
WRONG = "while low - high > precision:"
TESTS = """
abs(bisection(lambda x: x * x - 2, 0, 2) - 2 ** 0.5) < 1e-6
abs(bisection(lambda x: x, -1, 3)) < 1e-6
abs(bisection(lambda x: x - 1, 0, 10) - 1) < 1e-6
"""
