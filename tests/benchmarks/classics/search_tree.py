"""A sorted list without repetitions, by way of a binary search tree."""


class Node:
    def __init__(self, value):
        self.value = value
        self.left = None
        self.right = None


def insert(node, value):
    if node is None:
        return Node(value)
    if value < node.value:
        node.left = insert(node.left, value)
    elif value > node.value:
        node.right = insert(node.right, value)
    return node


def in_order(node):
    if node is None:
        return []
    return in_order(node.left) + [node.value] + in_order(node.right)


def tree_sort(values):
    root = None
    for value in values:
        root = insert(root, value)
    return in_order(root)


RIGHT = "node.left = insert(node.left, value)"
WRONG = "insert(node.left, value)"
TESTS = """
tree_sort([3, 1, 2, 3]) == [1, 2, 3]
tree_sort([]) == []
tree_sort([1, 2, 3]) == [1, 2, 3]
tree_sort([5, 3, 8, 1, 4]) == [1, 3, 4, 5, 8]
"""
