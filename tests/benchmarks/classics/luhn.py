"""Whether a card's number is valid, by Luhn's digit."""


def luhn(number):
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit)
        if index % 2 == 1:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0


RIGHT = "if value > 9:\n                value -= 9"
WRONG = "if value > 9:\n                value -= 10"
TESTS = """
luhn("4539578763621486") is True
luhn("79927398713") is True
luhn("79927398710") is False
luhn("0") is True
luhn("18") is True
luhn("91") is True
"""
