"""Whether a text is made of words of a list."""


def word_break(text, words):
    reachable = [True] + [False] * len(text)
    for end in range(1, len(text) + 1):
        for word in words:
            start = end - len(word)
            if start >= 0 and reachable[start] and text[start:end] == word:
                reachable[end] = True
    return reachable[len(text)]


RIGHT = "reachable = [True] + [False] * len(text)"
WRONG = "reachable = [False] * (len(text) + 1)"
TESTS = """
word_break("leetcode", ["leet", "code"]) is True
word_break("catsandog", ["cats", "dog", "sand", "and", "cat"]) is False
word_break("", ["a"]) is True
word_break("aaa", ["aa"]) is False
"""
