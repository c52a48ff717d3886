"""Caesar's cipher: letters moved along the alphabet."""


def caesar(text, shift):
    result = ""
    for letter in text:
        if letter.isalpha():
            first = ord("A") if letter.isupper() else ord("a")
            result += chr((ord(letter) - first + shift) % 26 + first)
        else:
            result += letter
    return result


RIGHT = "result += chr((ord(letter) - first + shift) % 26 + first)"
WRONG = "result += chr((ord(letter) - first + shift) % 26)"
TESTS = """
caesar("abc", 1) == "bcd"
caesar("xyz", 3) == "abc"
caesar("Hello, World!", 13) == "Uryyb, Jbeyq!"
caesar("b", -1) == "a"
caesar("", 5) == ""
"""
