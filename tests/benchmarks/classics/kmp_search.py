"""Where a word begins in a text, by Knuth, Morris and Pratt; -1 if nowhere."""


def kmp_search(text, word):
    if not word:
        return 0
    borders = [0] * len(word)
    length = 0
    for i in range(1, len(word)):
        while length and word[i] != word[length]:
            length = borders[length - 1]
        if word[i] == word[length]:
            length += 1
        borders[i] = length
    matched = 0
    for i, letter in enumerate(text):
        while matched and letter != word[matched]:
            matched = borders[matched - 1]
        if letter == word[matched]:
            matched += 1
        if matched == len(word):
            return i - matched + 1
    return -1


RIGHT = "return i - matched + 1"
WRONG = "return i - matched"
TESTS = """
kmp_search("hello world", "world") == 6
kmp_search("aaaaab", "aab") == 3
kmp_search("abc", "d") == -1
kmp_search("abc", "") == 0
kmp_search("ababcababd", "ababd") == 5
"""
