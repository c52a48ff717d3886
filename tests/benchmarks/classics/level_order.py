"""A tree's values level by level; a tree is (value, left, right) or None."""

from collections import deque


def level_order(tree):
    levels = []
    queue = deque([tree] if tree else [])
    while queue:
        level = []
        for _ in range(len(queue)):
            value, left, right = queue.popleft()
            level.append(value)
            queue.extend(child for child in (left, right) if child)
        levels.append(level)
    return levels


RIGHT = "value, left, right = queue.popleft()"
WRONG = "value, left, right = queue.pop()"
TESTS = """
level_order(None) == []
level_order((1, None, None)) == [[1]]
level_order((1, (2, None, None), (3, None, None))) == [[1], [2, 3]]
level_order((1, (2, (4, None, None), None), (3, None, (5, None, None)))) == [[1], [2, 3], [4, 5]]
"""
