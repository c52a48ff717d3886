"""The Gray code of so many bits, as texts."""


def gray_code(bits):
    if bits == 0:
        return [""]
    smaller = gray_code(bits - 1)
    return ["0" + code for code in smaller] + ["1" + code for code in reversed(smaller)]


RIGHT = 'return ["0" + code for code in smaller] + ["1" + code for code in reversed(smaller)]'
WRONG = 'return ["0" + code for code in smaller] + ["1" + code for code in smaller]'
TESTS = """
gray_code(1) == ["0", "1"]
gray_code(2) == ["00", "01", "11", "10"]
gray_code(0) == [""]
gray_code(3) == ["000", "001", "011", "010", "110", "111", "101", "100"]
"""
