"""The product of two matrices."""


def matrix_multiply(a, b):
    result = [[0] * len(b[0]) for _ in a]
    for i in range(len(a)):
        for j in range(len(b[0])):
            for k in range(len(b)):
                result[i][j] += a[i][k] * b[k][j]
    return result


RIGHT = "result[i][j] += a[i][k] * b[k][j]"
WRONG = "result[i][j] = a[i][k] * b[k][j]"
TESTS = """
matrix_multiply([[1, 2], [3, 4]], [[5, 6], [7, 8]]) == [[19, 22], [43, 50]]
matrix_multiply([[2]], [[3]]) == [[6]]
matrix_multiply([[1, 0, 2]], [[1], [2], [3]]) == [[7]]
"""
