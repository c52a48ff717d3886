"""Powers modulo a number, by squaring."""


def power_mod(base, exponent, modulus):
    result = 1
    base %= modulus
    while exponent > 0:
        if exponent % 2 == 1:
            result = result * base % modulus
        base = base * base % modulus
        exponent //= 2
    return result


RIGHT = "base = base * base % modulus"
WRONG = "base = base * result % modulus"
TESTS = """
power_mod(2, 10, 1000) == 24
power_mod(3, 0, 7) == 1
power_mod(7, 13, 11) == 2
power_mod(10, 9, 6) == 4
power_mod(5, 1, 3) == 2
"""
