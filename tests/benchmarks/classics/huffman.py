"""How many bits each letter of a text takes in Huffman's code."""

import heapq
from collections import Counter


def huffman(text):
    heap = [(count, letter) for letter, count in Counter(text).items()]
    heapq.heapify(heap)
    lengths = dict.fromkeys(text, 0)
    while len(heap) > 1:
        (one, first), (two, second) = heapq.heappop(heap), heapq.heappop(heap)
        for letter in first + second:
            lengths[letter] += 1
        heapq.heappush(heap, (one + two, first + second))
    return lengths


RIGHT = "heapq.heappush(heap, (one + two, first + second))"
WRONG = "heapq.heappush(heap, (one, first + second))"
TESTS = """
huffman("aaaabbc") == {"a": 1, "b": 2, "c": 2}
huffman("ab") == {"a": 1, "b": 1}
huffman("") == {}
huffman("aaaabbbccd") == {"a": 1, "b": 2, "c": 3, "d": 3}
huffman("aabbccdd") == {"a": 2, "b": 2, "c": 2, "d": 2}
"""
