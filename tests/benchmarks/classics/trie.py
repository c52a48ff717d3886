"""A trie: words that begin with something."""


class Trie:
    def __init__(self):
        self.children = {}
        self.ends = False

    def insert(self, word):
        node = self
        for letter in word:
            if letter not in node.children:
                node.children[letter] = Trie()
            node = node.children[letter]
        node.ends = True

    def words(self, prefix=""):
        node = self
        for letter in prefix:
            if letter not in node.children:
                return []
            node = node.children[letter]
        return list(node._below(prefix))

    def _below(self, so_far):
        if self.ends:
            yield so_far
        for letter in sorted(self.children):
            yield from self.children[letter]._below(so_far + letter)


def words_with(words, prefix):
    trie = Trie()
    for word in words:
        trie.insert(word)
    return trie.words(prefix)


RIGHT = "yield from self.children[letter]._below(so_far + letter)"
WRONG = "yield from self.children[letter]._below(letter)"
TESTS = """
words_with(["tea", "ten", "to"], "te") == ["tea", "ten"]
words_with(["a", "ab"], "") == ["a", "ab"]
words_with(["car"], "b") == []
words_with(["car", "card"], "car") == ["car", "card"]
"""
