import pytest

from stockroom.graph import distances, reachable, reverse, shortest_path, topological_order

# A long way round by the cold room, and a short cut by aisle A.
SHOP = {
    "dock": ["aisle A", "cold room"],
    "aisle A": ["till"],
    "cold room": ["freezer"],
    "freezer": ["back room"],
    "back room": ["till", "cold room"],
    "attic": ["dock"],
}


class TestTopologicalOrder:
    def test_edges_lead_forward(self):
        steps = {"shirt": ["tie"], "tie": ["jacket"], "trousers": ["shoes", "jacket"]}
        assert topological_order(steps) == ["shirt", "tie", "trousers", "jacket", "shoes"]

    def test_ties_are_broken_by_name(self):
        assert topological_order({"c": [], "a": [], "b": []}) == ["a", "b", "c"]
        assert topological_order({}) == []

    def test_cycle(self):
        with pytest.raises(ValueError, match="cycle"):
            topological_order({"a": ["b"], "b": ["a"]})


class TestShortestPath:
    def test_takes_the_short_cut(self):
        assert shortest_path(SHOP, "dock", "till") == ["dock", "aisle A", "till"]
        assert shortest_path(SHOP, "attic", "till") == ["attic", "dock", "aisle A", "till"]

    def test_order_of_the_edges_does_not_matter(self):
        turned = {node: targets[::-1] for node, targets in SHOP.items()}
        assert shortest_path(turned, "dock", "till") == ["dock", "aisle A", "till"]

    def test_start_is_goal(self):
        assert shortest_path(SHOP, "till", "till") == ["till"]

    def test_no_path(self):
        assert shortest_path(SHOP, "till", "dock") is None
        assert shortest_path(SHOP, "dock", "attic") is None


class TestDistances:
    def test_counts_edges(self):
        assert distances({"a": ["b"], "b": ["c"]}, "a") == {"a": 0, "b": 1, "c": 2}

    def test_fewest_edges_count(self):
        found = distances(SHOP, "dock")
        assert found["till"] == 2
        assert found["back room"] == 3

    def test_start_only(self):
        assert distances(SHOP, "till") == {"till": 0}
        assert "attic" not in distances(SHOP, "dock")

    def test_cycle_ends(self):
        assert distances({"a": ["b"], "b": ["a"]}, "a") == {"a": 0, "b": 1}


class TestReachable:
    def test_start_is_included(self):
        assert reachable(SHOP, "till") == {"till"}

    def test_follows_cycles_once(self):
        assert reachable(SHOP, "freezer") == {"freezer", "back room", "till", "cold room"}


class TestReverse:
    def test_turns_every_edge(self):
        assert reverse({"a": ["b", "c"], "b": ["c"]}) == {"a": [], "b": ["a"], "c": ["a", "b"]}

    def test_twice_gives_the_graph(self):
        graph = {"a": ["b"], "b": ["c"], "c": []}
        assert reverse(reverse(graph)) == graph
