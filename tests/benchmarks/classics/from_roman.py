"""The value of a Roman numeral."""


def from_roman(numeral):
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = 0
    before = 0
    for letter in reversed(numeral):
        value = values[letter]
        if value < before:
            total -= value
        else:
            total += value
        before = value
    return total


RIGHT = "if value < before:"
WRONG = "if value <= before:"
TESTS = """
from_roman("III") == 3
from_roman("IV") == 4
from_roman("MCMXCIV") == 1994
from_roman("XX") == 20
from_roman("D") == 500
"""
