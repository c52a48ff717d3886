"""How many groups are left when some things are joined in pairs."""


def groups(count, pairs):
    parents = list(range(count))

    def find(item):
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    left = count
    for one, other in pairs:
        one, other = find(one), find(other)
        if one != other:
            parents[one] = other
            left -= 1
    return left


RIGHT = "one, other = find(one), find(other)"
WRONG = "one, other = find(one), other"
TESTS = """
groups(5, [(0, 1), (1, 2), (3, 4)]) == 2
groups(3, []) == 3
groups(4, [(0, 1), (2, 3), (0, 2), (1, 3)]) == 1
groups(3, [(0, 1), (0, 1), (1, 0)]) == 2
"""
