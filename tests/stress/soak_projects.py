"""Small projects whose files are broken and mended all the time: programs, tests, one-token faults."""

import textwrap
import threading

from attrs import define, field, frozen

# Programs are correct as they stand here; a fault is (function, what is right, what is wrong).
_RANGES = '''
    """Numbers and their limits."""


    def clamp(value, low, high):
        if value < low:
            return low
        if value > high:
            return high
        return value


    def overlap(first, second):
        low = max(first[0], second[0])
        high = min(first[1], second[1])
        return max(0, high - low)


    def leap(year):
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
'''
_RANGES_TESTS = """
    from {module} import clamp, leap, overlap

    def test_low():
        assert clamp(-1, 0, 10) == 0

    def test_high():
        assert clamp(15, 0, 10) == 10

    def test_inside():
        assert clamp(5, 0, 10) == 5

    def test_overlap():
        assert overlap((0, 5), (3, 9)) == 2
        assert overlap((0, 1), (3, 9)) == 0

    def test_leap():
        assert [y for y in (1900, 2000, 2001, 2004) if leap(y)] == [2000, 2004]
"""
_RANGES_FAULTS = (
    ("clamp", "return high", "return low"),
    ("clamp", "value < low", "value > low"),
    ("overlap", "high - low", "high + low"),
    ("overlap", "high = min", "high = max"),
    ("leap", "% 100 != 0", "% 100 == 0"),
    ("leap", "year % 4 ==", "year % 4 !="),
)
_WORDS = '''
    """Words and how often they come."""


    def counts(words):
        found = {}
        for word in words:
            found[word] = found.get(word, 0) + 1
        return found


    def longest(words):
        best = ""
        for word in words:
            if len(word) > len(best):
                best = word
        return best


    def initials(words):
        return "".join(word[0].upper() for word in words if word)
'''
_WORDS_TESTS = """
    import pytest
    from {module} import counts, initials, longest

    def test_counts():
        assert counts(["a", "b", "a"]) == {{"a": 2, "b": 1}}

    @pytest.mark.parametrize("words,best", [(["a", "bcd", "ef"], "bcd"), ([], ""), (["x", "y"], "x")])
    def test_longest(words, best):
        assert longest(words) == best

    def test_initials():
        print("initials")
        assert initials(["ab", "", "c"]) == "AC"
"""
_WORDS_FAULTS = (
    ("counts", ", 0) + 1", ", 0) - 1"),
    ("counts", "get(word, 0)", "get(word, 1)"),
    ("longest", "> len(best)", "< len(best)"),
    ("longest", "> len(best)", ">= len(best)"),
    ("initials", "word[0]", "word[1]"),
    ("initials", ".upper()", ".lower()"),
)
_KINDS = (
    (_RANGES, _RANGES_TESTS, _RANGES_FAULTS, 5),
    (_WORDS, _WORDS_TESTS, _WORDS_FAULTS, 5),
)
# Tests that a server must live with; each is a file of its own beside the others.
ODD_TESTS = {
    "hangs": "def test_odd():\n    while True:\n        pass\n",
    "exits": "import os\n\ndef test_odd():\n    os._exit(3)\n",
    "kills": "import os, signal\n\ndef test_odd():\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    "floods": "import os\n\ndef test_odd():\n    for _ in range(200):\n        os.write(1, b'x' * 65536)\n",
    "surrogates": "def test_odd():\n    assert False, '\\ud800 \\x1b]0;x\\x07 \\x00'\n",
    "sleeps": "import subprocess\n\ndef test_odd():\n    subprocess.Popen(['sleep', '1000'])\n",
    "threads": "import threading, time\n\ndef test_odd():\n    for _ in range(20):\n"
    "        threading.Thread(target=time.sleep, args=(1000,)).start()\n",
    "eats": "def test_odd():\n    hoard = [bytearray(1 << 26) for _ in range(1000)]\n",
    "imports nothing": "import not_there\n",
    "is broken": "def test_odd(:\n",
}


@frozen
class Fault:
    """A change of one token that some test notices."""

    function: str
    right: str
    wrong: str


@define
class Project:
    """A folder with one module and its tests, and what the editor has of the module."""

    root: object
    module: str
    text: str
    faults: tuple
    tests: int
    current: str = ""
    version: int = 0
    lock: threading.RLock = field(factory=threading.RLock)

    @property
    def path(self):
        return self.root / f"{self.module}.py"

    @property
    def uri(self):
        return self.path.as_uri()

    @property
    def odd_file(self):
        return self.root / "tests" / f"test_{self.module}_odd.py"

    def broken(self, fault):
        """The program with a fault in it."""
        text = self.text.replace(fault.right, fault.wrong, 1)
        assert text != self.text, fault
        return text


def make_project(root, number):
    """Write a project; modules have different names, so that messages tell them apart."""
    text, tests, faults, count = _KINDS[number % len(_KINDS)]
    module = f"module{number}"
    (root / "tests").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    tests = textwrap.dedent(tests).lstrip().format(module=module)
    (root / "tests" / f"test_{module}.py").write_text(tests)
    text = textwrap.dedent(text).lstrip()
    project = Project(root, module, text, tuple(Fault(*fault) for fault in faults), count)
    project.path.write_text(text)
    return project
