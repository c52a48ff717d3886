"""A cache that forgets what was used longest ago."""


class LruCache:
    def __init__(self, size):
        self.size = size
        self.items = {}

    def get(self, key):
        if key not in self.items:
            return None
        value = self.items.pop(key)
        self.items[key] = value
        return value

    def put(self, key, value):
        self.items.pop(key, None)
        self.items[key] = value
        if len(self.items) > self.size:
            oldest = next(iter(self.items))
            del self.items[oldest]


def run(size, steps):
    cache = LruCache(size)
    return [cache.get(*step) if len(step) == 1 else cache.put(*step) for step in steps]


RIGHT = "self.items.pop(key, None)"
WRONG = "self.items.get(key, None)"
TESTS = """
run(2, [("a", 1), ("b", 2), ("a",), ("c", 3), ("b",), ("a",)]) == [None, None, 1, None, None, 1]
run(1, [("a", 1), ("a", 2), ("a",)]) == [None, None, 2]
run(2, [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a",), ("b",)]) == [None, None, None, None, 3, None]
"""
