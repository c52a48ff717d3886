"""Whether a graph's nodes can be coloured with two colours."""


def bipartite(graph):
    colours = {}
    for start in graph:
        if start in colours:
            continue
        colours[start] = 0
        todo = [start]
        while todo:
            node = todo.pop()
            for other in graph[node]:
                if other not in colours:
                    colours[other] = 1 - colours[node]
                    todo.append(other)
                elif colours[other] == colours[node]:
                    return False
    return True


RIGHT = "todo.append(other)"
WRONG = "todo.append(node)"
TESTS = """
bipartite({0: [1], 1: [0]}) is True
bipartite({0: [1, 2], 1: [0, 2], 2: [0, 1]}) is False
bipartite({0: [1, 3], 1: [0, 2], 2: [1, 3], 3: [2, 0]}) is True
bipartite({0: [1], 1: [0, 2], 2: [1, 3, 4], 3: [2, 4], 4: [2, 3]}) is False
bipartite({}) is True
"""
