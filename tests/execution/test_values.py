"""What variables held where a test failed is told, and nothing of the program runs for it."""

import textwrap

import pytest

from coe_lsp.execution.suite import Suite

BOOK = """
    class Page:
        def __repr__(self):
            raise SystemExit

        def __lt__(self, other):
            raise SystemExit


    class Book:
        def __init__(self):
            self.pages = {Page(): [1, [2, [3]]]}
            self.title = None

        @property
        def size(self):
            raise SystemExit

        def find(self, word, most=10**5000):
            seen = ("a" * 100, {1}, (1,), frozenset(), b"", list(range(9)), True)
            locals()[1] = 2
            return [line for line in self.title if word in line]


    class Short:
        __slots__ = ("text",)

        def cut(self, at):
            return self.text[:at]


    def half(n):
        return n // 0
"""
TESTS = """
    import book


    def test_find():
        book.Book().find("x")


    def test_cut():
        book.Short().cut(2)


    def test_half():
        assert book.half(4) == 2


    def test_wrong():
        assert len(book.BOOKS) == 2
"""


@pytest.mark.parametrize("kind", ["pytest", "unittest"])
def test_values_where_it_failed(write, tmp_path, worker_for, kind):
    text = textwrap.dedent(TESTS)
    if kind == "unittest":
        case = "import unittest\n\n\nclass Case(unittest.TestCase):\n"
        body = text.split("\n", 2)[2].replace("():", "(self):")
        text = f"import book\n{case}{textwrap.indent(body, '    ')}"
    write("book.py", f"{textwrap.dedent(BOOK)}\n\nBOOKS = []\n")
    write("test_book.py", text)
    run = worker_for(Suite(kind, tmp_path, tmp_path / "book.py", ("test_book.py",))).run()
    assert len(run.failures) == 4
    values = {r.id.rpartition("test_")[2]: dict(r.values) for r in run.failures}
    told = values["find"]
    assert told.pop("self.pages") == "{<Page>: [1, <list>]}"
    assert told.pop("seen").startswith(f"('{'a' * 40}'..., {{1}}, (1,), set(), ...)")
    assert {name: told[name] for name in ("self", "self.title", "word", "most")} == {
        "self": "<Book>",
        "self.title": "None",
        "word": "'x'",
        "most": "<int>",
    }
    assert "self.size" not in told
    assert values["cut"] == {"self": "<Short>", "at": "2"}
    assert values["half"] == {"n": "4"}
    assert values["wrong"] == {}, "it did not fail in the file"


HOSTILE = """
    import sys

    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)


    class Meta(type):
        @property
        def __name__(self):
            raise SystemExit


    class Strange(metaclass=Meta):
        @property
        def __dict__(self):
            raise SystemExit

        @property
        def __class__(self):
            raise SystemExit


    class Key(str):
        def __format__(self, spec):
            raise SystemExit


    class Owner:
        def __init__(self):
            vars(self)[Key("key")] = 1
            setattr(self, "a" * 10_000_000, 1)

        def work(self, strange):
            large = type("B" * 10_000_000, (), {})()
            huge = 1 << 10_000_000
            face = "\U0001f600" * 1000
            deep = [[[["\\0" * 40] * 9] * 9] * 9] * 9
            raise ValueError


    def work(self):
        raise ValueError
"""
HOSTILE_TESTS = """
    from hostile import Owner, Strange, work


    def test_owner():
        Owner().work(Strange())


    def test_strange():
        work(Strange())


    def test_good():
        pass
"""


def test_a_program_cannot_make_its_values_do_harm(write, tmp_path, worker_for):
    write("hostile.py", HOSTILE)
    write("test_hostile.py", HOSTILE_TESTS)
    suite = Suite("pytest", tmp_path, tmp_path / "hostile.py", ("test_hostile.py",))
    run = worker_for(suite).run()
    assert (run.status, run.passed, len(run.failures)) == ("completed", 1, 2), run.results
    owner, strange = (dict(result.values) for result in run.failures)
    assert owner["strange"] == "<Strange>" and strange == {"self": "<Strange>"}
    assert owner["large"] == f"<{'B' * 40}>" and owner["huge"] == "<int>"
    assert sum(map(len, [*owner, *owner.values()])) < 1000


def test_the_function_around_a_comprehension_is_told_as_well(write, tmp_path, worker_for):
    write("sums.py", "def shares(parts, whole):\n    return [n / whole for n in parts]\n")
    write("test_sums.py", "from sums import shares\n\ndef test_it():\n    shares([1], 0)\n")
    suite = Suite("pytest", tmp_path, tmp_path / "sums.py", ("test_sums.py",))
    (failure,) = worker_for(suite).run().failures
    values = dict(failure.values)
    assert (values["whole"], values["n"], values["parts"]) == ("0", "1", "[1]")


def test_few_failures_tell_their_values(write, tmp_path, worker_for):
    write("one.py", "def one(n):\n    raise ValueError\n")
    write(
        "test_one.py",
        """
        import pytest
        from one import one

        @pytest.mark.parametrize("n", range(30))
        def test_it(n):
            one(n)
        """,
    )
    suite = Suite("pytest", tmp_path, tmp_path / "one.py", ("test_one.py",))
    run = worker_for(suite).run()
    assert len(run.failures) == 30
    assert [dict(result.values) for result in run.failures[:3]] == [{"n": str(n)} for n in range(3)]
    assert sum(bool(result.values) for result in run.failures) == 8


def test_without_a_file_under_repair_the_innermost_of_the_project_tells(
    write, tmp_path, worker_for
):
    write("outer.py", "import json\n\ndef read(text, kind):\n    return json.loads(text)[kind]\n")
    write("test_outer.py", "import outer\n\ndef test_it():\n    outer.read('{', 1)\n")
    (failure,) = worker_for(Suite("pytest", tmp_path, None, ("test_outer.py",))).run().failures
    assert failure.stack[-1] == ("outer.py", 4)
    assert dict(failure.values) == {"text": "'{'", "kind": "1"}
