"""Steps of Collatz's sequence until it is at one."""


def collatz(n):
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


RIGHT = "n = 3 * n + 1"
WRONG = "n = 3 * (n + 1)"
TESTS = """
collatz(1) == 0
collatz(6) == 8
collatz(27) == 111
collatz(8) == 3
"""
