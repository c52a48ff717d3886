"""The first of the longest palindromes in a text."""


def longest_palindrome(text):
    best = ""
    for middle in range(len(text)):
        for left, right in ((middle, middle), (middle, middle + 1)):
            while left >= 0 and right < len(text) and text[left] == text[right]:
                left -= 1
                right += 1
            if right - left - 1 > len(best):
                best = text[left + 1 : right]
    return best


RIGHT = "best = text[left + 1 : right]"
WRONG = "best = text[left:right]"
TESTS = """
longest_palindrome("babad") == "bab"
longest_palindrome("cbbd") == "bb"
longest_palindrome("") == ""
longest_palindrome("a") == "a"
longest_palindrome("forgeeksskeegfor") == "geeksskeeg"
"""
