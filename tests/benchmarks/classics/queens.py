"""How many ways there are to place n queens."""


def queens(n):
    def place(row, columns, falling, rising):
        if row == n:
            return 1
        found = 0
        for column in range(n):
            if column in columns or row - column in falling or row + column in rising:
                continue
            found += place(
                row + 1, columns | {column}, falling | {row - column}, rising | {row + column}
            )
        return found

    return place(0, set(), set(), set())


RIGHT = "if column in columns or row - column in falling or row + column in rising:"
WRONG = "if column in columns or row - column in falling:"
TESTS = """
queens(1) == 1
queens(4) == 2
queens(5) == 10
queens(6) == 4
queens(3) == 0
"""
