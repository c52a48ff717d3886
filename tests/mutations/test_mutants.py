"""One-edit changes: that they contain the repair of what people get wrong, and are programs."""

import ast
import textwrap

import pytest

from coe_lsp.mutations.clues import BadCall, Clues
from coe_lsp.mutations.examples import EXAMPLES
from coe_lsp.mutations.mutants import mutants
from coe_lsp.mutations.surroundings import Surroundings, surroundings

_PROGRAM = '''\
def outer(items, limit=3, *rest, key=None, **more):
    """It has a docstring."""
    total, seen = 0, {}
    for index, item in enumerate(items[1:limit]):
        if item in seen and not key or index > limit - 1:  # a remark
            continue
        elif item:
            seen[item] = f"{item!r} {index}"
            total += len(item) * 2 if key else 0
        else:
            break
    while total > 10:
        total //= 3
    try:
        return sorted([x for x in seen if x != "a"], key=lambda x: (x, -total))
    finally:
        inner = lambda: total
'''


def _function(body):
    return ("def f(n, limit):\n" + textwrap.indent(body, "    ")).split("\n")


_BAD_CALLS = (
    BadCall("g", unexpected="size"),
    BadCall("__init__", unexpected="size"),
    BadCall("k", missing=("b",)),
    BadCall("h", taken=0, given=1),
)
_CLUES = Clues(frozenset({"'spelt'"}), bad_calls=_BAD_CALLS)


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [(kind, *pair) for kind, all_of_it in EXAMPLES.items() for pair in all_of_it],
)
def test_each_kind_makes_its_examples(kind, wrong, right):
    wanted = ast.dump(ast.parse("\n".join(_function(right))))
    found = mutants(_function(wrong), clues=_CLUES)
    made = {m.kind for m in found if ast.dump(ast.parse("\n".join(m.lines))) == wanted}
    assert kind in made


def test_each_kind_has_examples():
    programs = [
        _PROGRAM.split("\n"),
        *(_function(a) for pairs in EXAMPLES.values() for a, _ in pairs),
    ]
    kinds = {mutant.kind for program in programs for mutant in mutants(program, clues=_CLUES)}
    assert kinds - {"syntax", "hidden line"} <= EXAMPLES.keys()


def test_a_word_is_spelt_as_the_tests_spell_it():
    lines = _function("return ['Mars', 'Jupyter']")
    right = tuple(_function("return ['Mars', 'Jupiter']"))
    assert right in {
        mutant.lines for mutant in mutants(lines, clues=Clues(frozenset({"'Jupiter'", "'Venus'"})))
    }
    assert right not in {mutant.lines for mutant in mutants(lines)}


def test_a_loop_that_goes_nowhere_is_brought_on_first():
    lines = ("def f(n):", "    total = 0", "    while n:", "        total += 2", "    return total")
    right = (*lines[:4], "        n -= 1", lines[4])
    assert right in [mutant.lines for mutant in mutants(lines)][:12]


def test_what_is_missing_for_another_attribute():
    lines = ("def ship(level, n):", "    if n > level.reserved:", "        raise ValueError",
             "    level.on_hand -= n")  # fmt: skip
    right = (*lines[:3], "    level.reserved -= n", lines[3])
    assert right in [mutant.lines for mutant in mutants(lines)][:30]


_MODULE = """\
import math
__all__ = ["Shelf"]
LIMIT, STEP = 10, 2
rates: dict = {}

def helper(): ...

class Shelf:
    width = 3
    depth: int = 4

    def __init__(self, rows):
        self.rows = rows
        self._used = 0

    def free(self, /, n):
        self.last = n
        return self.rows

    class Inner:
        def deep(me):
            me.level = 1
"""


def test_what_a_function_can_see_beyond_itself():
    found = surroundings(_MODULE, "Shelf")
    assert found.names == ("math", "__all__", "LIMIT", "STEP", "rates", "helper", "Shelf")
    assert found.values == ("LIMIT", "STEP", "rates")
    assert found.attributes == ("width", "depth", "rows", "_used", "free", "last")
    assert surroundings(_MODULE, "Shelf.Inner").attributes == ("deep", "level")
    assert surroundings(_MODULE, "").attributes == ()
    assert surroundings(_MODULE, "Nothing").attributes == ()
    assert surroundings("def f(:", "") == Surroundings()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("return n > LIMIT", "return n > STEP"),
        ("return n > 10", "return n > LIMIT"),
        ("return self.rows", "return self._used"),
        ("return rows", "return self.rows"),
        ("return self.rowz", "return self.rows"),
    ],
)
def test_the_module_and_the_class_have_names_to_offer(wrong, right):
    lines = (f"def f(self, n): {wrong}",)
    enclosing = surroundings(_MODULE, "Shelf")
    found = {mutant.lines for mutant in mutants(lines, enclosing=enclosing)}
    assert (f"def f(self, n): {right}",) in found
    assert (f"def f(self, n): {right}",) not in {mutant.lines for mutant in mutants(lines)}


def test_what_is_said_to_be_undefined_is_changed_first():
    lines = ("def f(n, m):", "    for i in n:", "        if this - i in n:", "            return i",
             "    return -1")  # fmt: skip
    first = [mutant.lines for mutant in mutants(lines, clues=Clues(undefined=frozenset({"this"})))][
        :20
    ]
    assert (*lines[:2], "        if 0 - i in n:", *lines[3:]) in first
    assert not [changed for changed in first[:12] if "this - i" in "\n".join(changed)]
    assert list(
        mutants(lines[:2], clues=Clues(undefined=frozenset({"this"})))
    )  # not there: no matter


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_changed_word_keeps_its_quotes(quote):
    lines = ("def f():", f"    return {quote}helo{quote}")
    changed = {mutant.lines[1] for mutant in mutants(lines, clues=Clues(frozenset({"'hello'"})))}
    assert f"    return {quote}hello{quote}" in changed
    assert not {f"    return {other}hello{other}" for other in "'\"" if other != quote} & changed


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("return f'total {sum(n) + 1}'", "return f'total {sum(n)}'"),
        ("return f'é {n!r:>4} {n[0]}'", "return f'é {n!r:>4} {n[-1]}'"),
        ("return ('a' f'b {n}'\n  f'c {n < m:d}')", "return ('a' f'b {n}'\n  f'c {n <= m:d}')"),
        ("return f'''\n{n}\n{n - m}'''", "return f'''\n{n}\n{n + m}'''"),
    ],
)
def test_what_stands_in_formatted_strings_changes_too(wrong, right):
    changed = {"\n".join(mutant.lines) for mutant in mutants(f"def f(n, m): {wrong}".split("\n"))}
    assert f"def f(n, m): {right}" in changed


def test_no_quote_ends_a_formatted_string_early():
    """Python allows the same quotes in its braces since 3.12 only."""
    lines = ["def f(n):", "    return f'{n}' + str(n)"]
    clues = Clues(frozenset({"'hello'"}))
    for mutant in mutants(lines, clues=clues):
        assert mutant.lines[1].partition("{")[2].partition("}")[0].count("'") == 0, mutant.lines


@pytest.mark.parametrize(
    "signature",
    [
        "outer(items, limit=3, *rest, key=None, **more)",
        "outer(items, limit: int, key=None)",
        "outer(items, limit)",
        "outer(*, items, limit)",
        "outer(items, /, limit=(1 + 2))",
        "outer(items, limit=3,)",
        "outer(**more)",
    ],
)
def test_edits_of_signatures_are_programs(signature):
    text = _PROGRAM.replace("outer(items, limit=3, *rest, key=None, **more)", signature)
    lines = text.replace("total += ", "total += any(x for x in items) + ").split("\n")
    calls = (
        BadCall("outer", "size"),
        BadCall("outer", "", ("items",)),
        BadCall("outer", "", (), 2, 3),
    )
    found = list(mutants(lines, clues=Clues(bad_calls=calls)))
    for mutant in found:
        ast.parse("\n".join(mutant.lines))
    assert "missing parameter" in {m.kind for m in found}


@pytest.mark.parametrize(
    "program",
    [
        "def g(a, size): return a",  # is there already
        "def g(a, /): return a",  # could not be given by name
    ],
)
def test_a_parameter_that_would_not_help_is_not_added(program):
    found = mutants([program], clues=Clues(bad_calls=(BadCall("g", "size"),)))
    assert "missing parameter" not in {mutant.kind for mutant in found}


def test_a_keyword_that_tests_leave_out_gets_a_default():
    lines = ["def g(*, a):", "    return a"]
    found = mutants(lines, clues=Clues(bad_calls=(BadCall("g", "", ("a",)),)))
    assert ("def g(*, a=None):", "    return a") in {mutant.lines for mutant in found}


_LAYOUTS = """\
def f(n, limit, seen):
    print(
        n.split(','),
        limit,  # a remark, with a comma
    )
    seen[n] += (1 + 2)
    seen[n, limit] += 1
    seen[:, limit] -= n - 1
    seen[n, limit].append(n)
    rest = any(x for x in n) or type(n)(x for x in limit)
    for x in n:
        limit.append(lambda: (x + 1))
        limit.append(lambda a,: a + x)
    names = n.strip(
    ).split(
        ':',
        )
    return (n + 1) == limit.high or n in ('a', 'b') or rest == (limit.low), names
"""


def test_however_it_is_laid_out_mutants_are_programs():
    lines = _LAYOUTS.rstrip().split("\n")
    calls = (BadCall("f", "size"), BadCall("f", "", ("seen",)), BadCall("f", "", (), 1, 2))
    found = list(mutants(lines, clues=Clues(frozenset({"'/'"}), bad_calls=calls)))
    texts = {"\n".join(mutant.lines): mutant.kind for mutant in found}
    for text in texts:
        ast.parse(text)
    assert not any("anylist" in text or "n in ('b')" in text for text in texts)
    assert {"missing option", "both sides", "bound late", "missing key"} <= set(texts.values())
    assert any("size=size" in text for text in texts)


def test_mutants_are_different_programs_that_parse():
    lines = _PROGRAM.split("\n")
    found = list(mutants(lines))
    assert len(found) > 500
    assert len({mutant.lines for mutant in found}) > 0.95 * len(found)
    assert tuple(lines) not in {mutant.lines for mutant in found}
    broken = []
    for mutant in found:
        try:
            ast.parse("\n".join(mutant.lines))
        except SyntaxError:
            broken.append(mutant)
    assert not broken


def test_of_a_long_program_the_suspect_lines_are_changed():
    body = [f"    v{n} = a[{n}] + v{n - 1} if v{n - 1} < {n} else max(a)" for n in range(1, 300)]
    lines = ["def f(a):", "    v0 = 0", *body, "    return v299"]
    few = list(mutants(lines, {7: 1.0, 9: 0.5}))
    assert {mutant.line for mutant in few} <= {2, 7, 8, 9, 10}  # 2: a base case at the top
    assert len({mutant.line for mutant in mutants(lines)}) < 70


def test_likely_ones_come_first_and_those_in_suspect_lines():
    lines = _PROGRAM.split("\n")
    weights = [mutant.weight for mutant in mutants(lines)]
    assert weights == sorted(weights, reverse=True)
    first = [mutant.line for _, mutant in zip(range(20), mutants(lines, {13: 1.0}), strict=False)]
    assert first.count(13) > 10


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("if n > 1\n    return n", "if n > 1:\n    return n"),
        ("return (n + limit", "return (n + limit)"),
        ("if n = limit:\n    return n", "if n == limit:\n    return n"),
        ("x = [1, 2\nreturn x", "x = [1, 2]\nreturn x"),
        ("x = n\n  return x", "x = n\nreturn x"),
        ("for i in n:\nreturn i", "for i in n:\n    return i"),
        ("return n)", "return n"),
        ('return "a + n', 'return "a" + n'),
        (
            "if n = 1:\n    n = 2\nelif n = 3:\n    n = 4\nwhile n = 5:\n    n = 6",
            "if n == 1:\n    n = 2\nelif n == 3:\n    n = 4\nwhile n == 5:\n    n = 6",
        ),
        (
            "if n\n    n = 2\nelif n\n    n = 4\nelse\n    n = 6",
            "if n:\n    n = 2\nelif n:\n    n = 4\nelse:\n    n = 6",
        ),
        ("x = max([abs(n - (limit", "x = max([abs(n - (limit))])"),
        ('x = f(g(")[", n', 'x = f(g(")[", n))'),
        ("if n\n    x = (1\nreturn x", "if n:\n    x = (1)\nreturn x"),
        ("x = f(n\nif n = x:\n    return n", "x = f(n)\nif n == x:\n    return n"),
        (
            "if n:\n    x = f('a)\nelse:\n    x = ['b]  \nreturn x + 'c",
            "if n:\n    x = f('a')\nelse:\n    x = ['b']\nreturn x + 'c'",
        ),
        (
            "if n:\nx = n\nfor i in x:\n    x += i\nreturn x",
            "if n:\n    x = n\n    for i in x:\n        x += i\nreturn x",
        ),
        (
            "x = 1\n    for i in n:\n        x += i\n    x += 1\nreturn x",
            "x = 1\nfor i in n:\n    x += i\nx += 1\nreturn x",
        ),
        (
            '"""Do it.\n\nIt doesn\'t matter.\n"""\nx = \'a + n\nreturn \'b',
            '"""Do it.\n\nIt doesn\'t matter.\n"""\nx = \'a + n\'\nreturn \'b\'',
        ),
        ("x = 'a\nreturn 'it\\'s' + 'b", "x = 'a'\nreturn 'it\\'s' + 'b'"),
        ("x = 1\n# def g(y):\n    return y\nreturn g", "x = 1\ndef g(y):\n    return y\nreturn g"),
    ],
)
def test_a_program_that_does_not_parse_is_made_to(wrong, right):
    found = list(mutants(_function(wrong)))
    for mutant in found:
        ast.parse("\n".join(mutant.lines))
    assert tuple(_function(right)) in {mutant.lines for mutant in found}


_LEFT_OUTSIDE = """\
class A:
    def f(self):
        n = 1
    for i in n:
        n += i

    return n
"""
_HIDDEN = """\
class A:
    # async def f(self):
        n = 1

    def g(self): pass
"""


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (_LEFT_OUTSIDE, _LEFT_OUTSIDE.replace("    for", "        for")
         .replace("    return", "        return").replace("        n += ", "            n += ")),
        (_HIDDEN, _HIDDEN.replace("# ", "")),
    ],
)  # fmt: skip
def test_a_class_gets_its_function_back(wrong, right):
    found = {mutant.lines for mutant in mutants(wrong.split("\n"))}
    assert tuple(right.split("\n")) in found


def test_a_comment_that_would_break_the_program_stays_one():
    lines = _HIDDEN.replace("        n =", "    n =").split("\n")
    for mutant in mutants(lines):
        ast.parse("\n".join(mutant.lines))


def test_nothing_comes_of_what_is_hopeless():
    assert list(mutants([])) == []
    assert list(mutants(["def f(:", "  ???", "((", "]]"])) == []


def test_what_is_taken_away_leaves_no_gap():
    program = _function("if n:\n    n = 2\n\nlimit = n\n\nn = 1\n\nreturn limit")
    texts = {"\n".join(mutant.lines) for mutant in mutants(program, clues=_CLUES)}
    for body in (
        "limit = n\n\nn = 1\n\nreturn limit",
        "if n:\n    n = 2\n\nlimit = n\n\nreturn limit",
    ):
        assert "\n".join(_function(body)) in texts


def test_texts_are_not_put_in_order_where_it_was_asked_which_they_are():
    program = _function("if n == 'a':\n    return limit\nreturn n")
    found = ["\n".join(mutant.lines) for mutant in mutants(program, clues=_CLUES)]
    assert any("n != 'a'" in text for text in found)
    assert not [text for text in found if "n <= 'a'" in text or "n > 'a'" in text]
    program = _function("if n >= 'a':\n    return limit\nreturn n")
    assert any("n > 'a'" in "\n".join(mutant.lines) for mutant in mutants(program, clues=_CLUES))
