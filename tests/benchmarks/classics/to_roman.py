"""A number as a Roman numeral."""


def to_roman(number):
    steps = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ]
    result = ""
    for value, letters in steps:
        while number >= value:
            result += letters
            number -= value
    return result


RIGHT = "while number >= value:"
WRONG = "if number >= value:"
TESTS = """
to_roman(3) == "III"
to_roman(4) == "IV"
to_roman(1994) == "MCMXCIV"
to_roman(2000) == "MM"
to_roman(58) == "LVIII"
"""
