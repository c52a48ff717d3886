"""Directed graphs: assembly steps and walks between shelves.

A graph maps each node to the nodes that its edges lead to. A node without edges of its own
may be left out of the mapping.
"""

from collections import deque
from collections.abc import Iterable, Mapping

Graph = Mapping[str, Iterable[str]]


def topological_order(graph: Graph) -> list[str]:
    """Return the nodes so that every edge leads forward; ties are broken by name."""
    incoming = dict.fromkeys(graph, 0)
    for targets in graph.values():
        for target in targets:
            incoming[target] = incoming.get(target, 0) + 1
    ready = sorted((node for node, count in incoming.items() if count == 0), reverse=True)
    order: list[str] = []
    while ready:
        node = ready.pop()
        order.append(node)
        for target in graph.get(node, ()):
            incoming[target] -= 1
            if incoming[target] == 0:
                ready.append(target)
        ready.sort(reverse=True)
    if len(order) < len(incoming):
        raise ValueError("the graph has a cycle")
    return order


def shortest_path(graph: Graph, start: str, goal: str) -> list[str] | None:
    """Return the nodes of a path with the fewest edges, or None if there is no path."""
    previous = {start: start}
    queue = deque([start])
    while queue:
        node = queue.pop()
        if node == goal:
            break
        for target in graph.get(node, ()):
            if target not in previous:
                previous[target] = node
                queue.append(target)
    if goal not in previous:
        return None
    path = [goal]
    while path[-1] != start:
        path.append(previous[path[-1]])
    return path[::-1]


def distances(graph: Graph, start: str) -> dict[str, int]:
    """Return the fewest edges from ``start`` to each node that can be reached from it."""
    found = {start: 1}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for target in graph.get(node, ()):
            if target not in found:
                found[target] = found[node] + 1
                queue.append(target)
    return found


def reachable(graph: Graph, start: str) -> set[str]:
    """Return every node that can be reached from ``start``, ``start`` included."""
    seen = {start}
    stack = [start]
    while stack:
        for target in graph.get(stack.pop(), ()):
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen


def reverse(graph: Graph) -> dict[str, list[str]]:
    """Return the graph with every edge turned round."""
    turned: dict[str, list[str]] = {node: [] for node in graph}
    for node, targets in graph.items():
        for target in targets:
            turned.setdefault(target, []).append(node)
    return turned
