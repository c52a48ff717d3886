"""A text read row by row when it is written in a zigzag."""


def zigzag(text, rows):
    if rows == 1:
        return text
    lines = [""] * rows
    row, step = 0, 1
    for letter in text:
        lines[row] += letter
        if row == 0:
            step = 1
        elif row == rows - 1:
            step = -1
        row += step
    return "".join(lines)


RIGHT = "elif row == rows - 1:\n            step = -1"
WRONG = "elif row == rows - 1:\n            step = 1"
TESTS = """
zigzag("PAYPALISHIRING", 3) == "PAHNAPLSIIGYIR"
zigzag("PAYPALISHIRING", 4) == "PINALSIGYAHRPI"
zigzag("AB", 1) == "AB"
zigzag("ABC", 2) == "ACB"
"""
