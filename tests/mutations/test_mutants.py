"""One-edit changes: that they contain the repair of what people get wrong, and are programs."""

import ast
import textwrap

import pytest

from coe_lsp.mutations.mutants import mutants
from coe_lsp.mutations.surroundings import Surroundings, surroundings

_WRONG_AND_RIGHT = {
    "comparison": ("if n < limit:\n    return n", "if n <= limit:\n    return n"),
    "membership": ("return n in limit", "return n not in limit"),
    "arithmetic": ("return n + limit * 2", "return n - limit * 2"),
    "floor": ("mid = n / 2\nreturn mid", "mid = n // 2\nreturn mid"),
    "augmented": ("n += limit\nreturn n", "n -= limit\nreturn n"),
    "assigned": ("total = 0\ntotal = n\nreturn total", "total = 0\ntotal += n\nreturn total"),
    "off by one": ("return [n for n in range(limit)]", "return [n for n in range(limit + 1)]"),
    "from one": ("for i in range(n):\n    print(i)", "for i in range(1, n):\n    print(i)"),
    "word for a name": ("line = ''\nreturn line + n", "line = limit\nreturn line + n"),
    "constant": ("return n % 10", "return n % 9"),
    "truth": ("found = True\nreturn found", "found = False\nreturn found"),
    "boolean": ("return n > 1 and limit > 1", "return n > 1 or limit > 1"),
    "negation": ("if n:\n    return 1", "if not n:\n    return 1"),
    "not": ("if not n:\n    return 1", "if n:\n    return 1"),
    "extra condition": ("return n > 1 and limit > 1", "return n > 1"),
    "variable": ("return n", "return limit"),
    "method": ("return n.lower()", "return n.upper()"),
    "function": ("return min(n)", "return max(n)"),
    "swapped arguments": ("return divmod(n, limit)", "return divmod(limit, n)"),
    "swapped operands": ("return n - limit", "return limit - n"),
    "missing call": ("d = n - limit\nreturn d", "d = abs(n - limit)\nreturn d"),
    "extra call": ("return sorted(n)", "return n"),
    "index": ("return n[0]", "return n[-1]"),
    "slice end": ("return n[:limit]", "return n[:limit + 1]"),
    "slice start": ("return n[limit:]", "return n[limit + 1:]"),
    "reversed": ("return n[::1]", "return n[::-1]"),
    "descending": ("return sorted(n)", "return sorted(n, reverse=True)"),
    "descending generator": (
        "return sorted(x for x in n)",
        "return sorted((x for x in n), reverse=True)",
    ),
    "precedence": ("return n + limit * 2", "return (n + limit) * 2"),
    "missing return": ("if n:\n    n + 1\nreturn 0", "if n:\n    return n + 1\nreturn 0"),
    "no return": ("total = n + 1", "total = n + 1\nreturn total"),
    "extra line": ("n = 0\nlimit = 1\nreturn n", "limit = 1\nreturn n"),
    "order": ("n = limit\nlimit = n\nreturn n", "limit = n\nn = limit\nreturn n"),
    "jump": ("for x in n:\n    if x:\n        break", "for x in n:\n    if x:\n        continue"),
    "early return": (
        "for x in n:\n    limit += x\n    return limit",
        "for x in n:\n    limit += x\nreturn limit",
    ),
    "left out of the loop": (
        "for x in n:\n    y = x\nlimit.append(y)",
        "for x in n:\n    y = x\n    limit.append(y)",
    ),
    "base case": ("return n[0]", "if not n:\n    return []\nreturn n[0]"),
    "elif": (
        "if n:\n    n = 1\nif limit:\n    n = 2\nreturn n",
        "if n:\n    n = 1\nelif limit:\n    n = 2\nreturn n",
    ),
    "missing increment": (
        "while n < limit:\n    print(n)",
        "while n < limit:\n    print(n)\n    n += 1",
    ),
    "misspelt": ("return nn + limit", "return n + limit"),
    "everywhere": (
        "if n == '':\n    return ' '\nreturn limit or ' '",
        "if n == '':\n    return ''\nreturn limit or ''",
    ),
    "upside down": (
        "if n:\n    return True\nreturn False",
        "if n:\n    return False\nreturn True",
    ),
    "all of a condition": ("return n and limit and f", "return n or limit or f"),
    "extra lines": ("n = 1\nlimit = 2\nreturn n", "return n"),
    "guard": ("for x in n:\n    limit += 1", "for x in n:\n    if limit == x:\n        limit += 1"),
    "up to": ("return sum(n)", "return sum(n[:limit])"),
    "wrong part": ("return n / limit + len(n)", "return n / len(n) + len(n)"),
    "middle": ("return 2 ** 3 * n", "return 2 ** n"),
    "bracket": ("return n == '('", "return n == '['"),
    "up to, each": ("return [x for x in n]", "return [x for x in n[:limit]]"),
    "but the first": ("return [x for x in n]", "return [x for x in n][1:]"),
    "not those": ("return [x for x in n if x[0]]", "return [x for x in n if not x[0]]"),
    "unwrapped": ("if n:\n    limit = 2\nreturn limit", "limit = 2\nreturn limit"),
    "accents": ("té = 'é'; return té + n - limit", "té = 'é'; return té + n + limit"),
}
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


@pytest.mark.parametrize("name", _WRONG_AND_RIGHT)
def test_the_repair_of_a_common_mistake_is_among_the_mutants(name):
    wrong, right = (_function(body) for body in _WRONG_AND_RIGHT[name])
    wanted = ast.dump(ast.parse("\n".join(right)))
    found = [ast.dump(ast.parse("\n".join(mutant.lines))) for mutant in mutants(wrong)]
    assert wanted in found


def test_a_word_is_spelt_as_the_tests_spell_it():
    lines = _function("return ['Mars', 'Jupyter']")
    right = tuple(_function("return ['Mars', 'Jupiter']"))
    assert right in {mutant.lines for mutant in mutants(lines, test_strings=("Jupiter", "Venus"))}
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
    first = [mutant.lines for mutant in mutants(lines, undefined=frozenset({"this"}))][:20]
    assert (*lines[:2], "        if 0 - i in n:", *lines[3:]) in first
    assert not [changed for changed in first[:12] if "this - i" in "\n".join(changed)]
    assert list(mutants(lines[:2], undefined=frozenset({"this"})))  # not there: no matter


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_changed_word_keeps_its_quotes(quote):
    lines = ("def f():", f"    return {quote}helo{quote}")
    changed = {mutant.lines[1] for mutant in mutants(lines, test_strings=("hello",))}
    assert f"    return {quote}hello{quote}" in changed
    assert not {f"    return {other}hello{other}" for other in "'\"" if other != quote} & changed


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
