"""An integral by Simpson's rule, with an even number of steps."""


def simpson(function, a, b, steps):
    width = (b - a) / steps
    total = function(a) + function(b)
    for i in range(1, steps):
        total += function(a + i * width) * (4 if i % 2 else 2)
    return total * width / 3


RIGHT = "total += function(a + i * width) * (4 if i % 2 else 2)"
WRONG = "total += function(a + i * width) * (2 if i % 2 else 4)"
TESTS = """
abs(simpson(lambda x: x * x, 0, 3, 6) - 9) < 1e-9
abs(simpson(lambda x: x ** 3, 0, 2, 2) - 4) < 1e-9
abs(simpson(lambda x: 1, 2, 5, 4) - 3) < 1e-9
"""
