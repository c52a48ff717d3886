"""The area around a cell in another colour."""


def flood_fill(image, row, column, colour):
    old = image[row][column]
    if old == colour:
        return image
    todo = [(row, column)]
    while todo:
        i, j = todo.pop()
        if 0 <= i < len(image) and 0 <= j < len(image[0]) and image[i][j] == old:
            image[i][j] = colour
            todo += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    return image


RIGHT = "if 0 <= i < len(image) and 0 <= j < len(image[0]) and image[i][j] == old:"
WRONG = "if 0 <= i < len(image) and 0 <= j < len(image) and image[i][j] == old:"
TESTS = """
flood_fill([[1, 1, 1], [1, 1, 0]], 0, 0, 2) == [[2, 2, 2], [2, 2, 0]]
flood_fill([[0, 0], [0, 1], [1, 1]], 2, 0, 5) == [[0, 0], [0, 5], [5, 5]]
flood_fill([[3]], 0, 0, 3) == [[3]]
flood_fill([[1, 0, 1]], 0, 2, 7) == [[1, 0, 7]]
"""
