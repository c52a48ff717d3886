"""The numbers of a matrix along a spiral inwards."""


def spiral_order(matrix):
    result = []
    rows = [list(row) for row in matrix]
    while rows:
        result += rows.pop(0)
        rows = [list(column) for column in zip(*rows)][::-1]
    return result


RIGHT = "rows = [list(column) for column in zip(*rows)][::-1]"
WRONG = "rows = [list(column) for column in zip(*rows)]"
TESTS = """
spiral_order([[1, 2, 3], [4, 5, 6], [7, 8, 9]]) == [1, 2, 3, 6, 9, 8, 7, 4, 5]
spiral_order([[1, 2], [3, 4]]) == [1, 2, 4, 3]
spiral_order([]) == []
spiral_order([[1, 2, 3]]) == [1, 2, 3]
spiral_order([[1], [2], [3]]) == [1, 2, 3]
"""
