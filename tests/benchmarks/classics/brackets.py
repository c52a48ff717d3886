"""All ways to write so many pairs of brackets."""


def brackets(pairs):
    found = []

    def write(text, opened, closed):
        if len(text) == 2 * pairs:
            found.append(text)
            return
        if opened < pairs:
            write(text + "(", opened + 1, closed)
        if closed < opened:
            write(text + ")", opened, closed + 1)

    write("", 0, 0)
    return found


RIGHT = "if closed < opened:"
WRONG = "if closed < pairs:"
TESTS = """
brackets(1) == ["()"]
brackets(2) == ["(())", "()()"]
brackets(3) == ["((()))", "(()())", "(())()", "()(())", "()()()"]
brackets(0) == [""]
"""
