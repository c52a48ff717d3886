"""The next generation of Conway's game of life."""


def game_of_life(board):
    height, width = len(board), len(board[0])

    def neighbours(i, j):
        total = 0
        for a in range(max(0, i - 1), min(height, i + 2)):
            for b in range(max(0, j - 1), min(width, j + 2)):
                if (a, b) != (i, j):
                    total += board[a][b]
        return total

    return [
        [
            int(neighbours(i, j) == 3 or (board[i][j] and neighbours(i, j) == 2))
            for j in range(width)
        ]
        for i in range(height)
    ]


RIGHT = "if (a, b) != (i, j):"
WRONG = "if a != i and b != j:"
TESTS = """
game_of_life([[0, 1, 0], [0, 1, 0], [0, 1, 0]]) == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
game_of_life([[1, 1], [1, 1]]) == [[1, 1], [1, 1]]
game_of_life([[1, 0], [0, 1]]) == [[0, 0], [0, 0]]
game_of_life([[0]]) == [[0]]
"""
