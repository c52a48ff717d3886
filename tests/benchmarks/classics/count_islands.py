"""How many groups of ones a grid has."""


def count_islands(grid):
    seen = set()

    def visit(i, j):
        if not (0 <= i < len(grid) and 0 <= j < len(grid[0])):
            return
        if (i, j) in seen or grid[i][j] == 0:
            return
        seen.add((i, j))
        for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            visit(a, b)

    count = 0
    for i in range(len(grid)):
        for j in range(len(grid[0])):
            if grid[i][j] == 1 and (i, j) not in seen:
                visit(i, j)
                count += 1
    return count


RIGHT = "seen.add((i, j))"
WRONG = "pass"
TESTS = """
count_islands([[1, 1, 0], [0, 0, 1], [1, 0, 1]]) == 3
count_islands([[0, 0]]) == 0
count_islands([[1, 1], [1, 1]]) == 1
count_islands([[1, 0, 1, 0, 1]]) == 3
"""
