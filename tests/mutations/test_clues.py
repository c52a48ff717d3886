"""What failures say of the difference between two values, and what edits make of it."""

import pytest

from coe_lsp.mutations.clues import BadCall, Clues
from coe_lsp.mutations.mutants import mutants
from coe_lsp.repair.target.hints import literals, read_clues

_FUNCTION = ("def f(text):", '    codes = {"BE": "32", "width": 3}', "    return codes", "")


@pytest.mark.parametrize(
    ("detail", "pair"),
    [
        ("assert '+32 1' == '+33 1'", ("+32 1", "+33 1")),
        ("AssertionError: '-a-' != 'a'", ("-a-", "a")),
        ("AssertionError: assert 31 == 33", ("31", "33")),
        ("AssertionError: it is wrong\nassert 'a\\'b' == \"c\"", ("a'b", "c")),
        ("AssertionError: assert [1] == [2]", None),
        ("KeyError: 'a'", None),
    ],
)
def test_values_that_should_have_been_equal_are_read(detail, pair):
    assert read_clues([detail]).compared == ((pair,) if pair else ())


def test_exceptions_that_were_raised_are_read():
    clues = read_clues(["KeyError: 'a'", "assert 1 == 2", "json.decoder.JSONDecodeError: bad"])
    assert clues.raised == {"KeyError", "JSONDecodeError"}
    assert clues.undefined == frozenset()


def test_pieces_that_differ_are_put_for_one_another_first():
    clues = Clues(compared=(("+32 1", "+33 1"),))
    first = [mutant.lines[1] for mutant in mutants(_FUNCTION, clues=clues)][:6]
    assert '    codes = {"BE": "33", "width": 3}' in first


def test_what_is_at_the_ends_alone_is_taken_off_first():
    clues = Clues(compared=(("-a-b--", "a-b"), ("_a", "a")))
    assert clues.around == "-_"
    lines = ("def f(text):", "    return text.lower()")
    first = [mutant.lines[1] for mutant in mutants(lines, clues=clues)][:12]
    assert "    return text.lower().strip('-_')" in first


def test_all_literals_of_the_tests_are_at_hand():
    assert set(literals("assert f('^', 12) == 1.5 and not True")) == {"'^'", "12", "1.5"}
    assert list(literals("assert f(")) == []


SHELF = (
    "def titles(shelf, books, most):",
    "    found = []",
    "    for book in books[:most]:",
    "        found.append(shelf.name + book.title)",
    "    return found",
)


@pytest.mark.parametrize(
    ("name", "value", "guard"),
    [
        ("book.title", "None", "        if book.title is None:\n            continue\n"),
        ("most", "None", "    if most is None:\n        return found\n"),
        ("books", "[]", "    if not books:\n        return found\n"),
    ],
)
def test_a_guard_is_for_what_was_seen_to_be_nothing(name, value, guard):
    def place(values):
        clues = read_clues(["TypeError: no"], (), values)
        texts = ("\n".join(mutant.lines) for mutant in mutants(SHELF, clues=clues))
        return next(n for n, text in enumerate(texts) if guard in f"{text}\n")

    seen, others = place([(name, value)]), place([("shelf.name", value)])
    assert seen < min(others, place([(name, "3")])) / 2


def test_what_was_nothing_is_made_up_for_first():
    def place(value):
        clues = read_clues(["TypeError: no"], (), [("most", value)])
        lines = [mutant.lines[2] for mutant in mutants(SHELF, clues=clues)]
        return lines.index("    for book in books[:most or 0]:")

    assert place("None") < place("3") / 3


@pytest.mark.parametrize(
    "detail",
    ["Failed: DID NOT RAISE <class 'ValueError'>", "AssertionError: ValueError not raised"],
)
def test_what_the_tests_wait_for_is_raised(detail):
    clues = read_clues([detail])
    assert clues.expected == {"ValueError"}
    lines = ("def f(n):", "    return n.size")
    first = ["\n".join(mutant.lines) for mutant in mutants(lines, clues=clues)][:12]
    guard = '    if n is None:\n        raise ValueError("n is None")\n'
    assert "\n".join([lines[0], guard + lines[1]]) in first


@pytest.mark.parametrize(
    ("detail", "call"),
    [
        ("TypeError: Cart.add() got an unexpected keyword argument 'n'", BadCall("Cart.add", "n")),
        (
            "TypeError: f() got an unexpected keyword argument 'n'. Did you mean 'm'?",
            BadCall("f", "n"),
        ),
        ("TypeError: f() missing 1 required positional argument: 'n'", BadCall("f", "", ("n",))),
        (
            "TypeError: A.__init__() missing 2 required keyword-only arguments: 'n' and 'm'",
            BadCall("A.__init__", "", ("n", "m")),
        ),
        (
            "TypeError: f.<locals>.g() takes from 1 to 2 positional arguments but 3 were given",
            BadCall("f.g", "", (), 2, 3),
        ),
    ],
)
def test_calls_that_fail_for_their_arguments_are_understood(detail, call):
    assert read_clues([detail]).bad_calls == (call,)
