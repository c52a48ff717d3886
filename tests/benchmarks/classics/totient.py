"""Euler's totient: how many smaller numbers share no factor."""


def totient(n):
    result = n
    factor = 2
    while factor * factor <= n:
        if n % factor == 0:
            while n % factor == 0:
                n //= factor
            result -= result // factor
        factor += 1
    if n > 1:
        result -= result // n
    return result


RIGHT = "if n > 1:"
WRONG = "if n > 2:"
TESTS = """
totient(1) == 1
totient(2) == 1
totient(9) == 6
totient(10) == 4
totient(36) == 12
totient(97) == 96
"""
