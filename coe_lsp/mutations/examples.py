"""Examples of each kind of edit, wrong and right: what a kind is for, and what tests hold it to.

All are bodies of `def f(n, limit):`, in a module without anything else, whose tests spell 'spelt' and
call g and __init__ with a keyword `size`, k without `b`, and h with an argument that it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping

#: By kind, pairs of a body before an edit of this kind and after it.
EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "arithmetic": (
        ("return n + limit * 2", "return n - limit * 2"),
        ("mid = n / 2\nreturn mid", "mid = n // 2\nreturn mid"),
        ("n += limit\nreturn n", "n -= limit\nreturn n"),
        ("té = 'é'; return té + n - limit", "té = 'é'; return té + n + limit"),
    ),
    "assignment": (("total = 0\ntotal = n\nreturn total", "total = 0\ntotal += n\nreturn total"),),
    "attribute": (("n.low = limit.high\nreturn n.high", "n.low = limit.low\nreturn n.high"),),
    "boolean": (
        ("return n > 1 and limit > 1", "return n > 1 or limit > 1"),
        ("return n and limit and f", "return n or limit or f"),
    ),
    "comparison": (
        ("if n < limit:\n    return n", "if n <= limit:\n    return n"),
        ("return n in limit", "return n not in limit"),
    ),
    "constant": (
        ("line = ''\nreturn line + n", "line = limit\nreturn line + n"),
        ("return n % 10", "return n % 9"),
        ("found = True\nreturn found", "found = False\nreturn found"),
        ("return n[0]", "return n[-1]"),
        (
            "if n == '':\n    return ' '\nreturn limit or ' '",
            "if n == '':\n    return ''\nreturn limit or ''",
        ),
        ("return n == '('", "return n == '['"),
    ),
    "copied line": (
        (
            "for x in n:\n    limit.append(x)\n    print(x)\nreturn limit",
            "for x in n:\n    limit.append(x)\n    print(x)\nprint(x)\nreturn limit",
        ),
        (
            "part = []\nfor x in n:\n    part.append(x)\n    if len(part) == limit:\n        yield part\n        part = []",
            "part = []\nfor x in n:\n    part.append(x)\n    if len(part) == limit:\n        yield part\n        part = []\nif part:\n    yield part",
        ),
    ),
    "default": (
        ("return limit[n]", "return limit.get(n)"),
        ("return limit.get(n)", "return limit.get(n, 0)"),
        ("value = n.size\nreturn value", 'value = getattr(n, "size", None)\nreturn value'),
        ("rest = limit\nreturn rest", "rest = limit or []\nreturn rest"),
    ),
    "else": (
        (
            "if n:\n    n = limit\nelse:\n    n = 1\nreturn n",
            "if n:\n    n = limit\nn = 1\nreturn n",
        ),
    ),
    "elif": (
        (
            "if n:\n    n = 1\nif limit:\n    n = 2\nreturn n",
            "if n:\n    n = 1\nelif limit:\n    n = 2\nreturn n",
        ),
    ),
    "exception": (
        (
            "try:\n    return limit[n]\nexcept KeyError:\n    return None",
            "try:\n    return limit[n]\nexcept (KeyError, TypeError):\n    return None",
        ),
        (
            "if not n:\n    raise NotImplementedError\nreturn limit",
            "if not n:\n    return NotImplemented\nreturn limit",
        ),
    ),
    "missing import": (
        ("return math.floor(n / limit)", "import math\nreturn math.floor(n / limit)"),
        ("return Counter(n)[limit]", "from collections import Counter\nreturn Counter(n)[limit]"),
    ),
    "missing step": (
        ("while n < limit:\n    print(n)", "while n < limit:\n    print(n)\n    n += 1"),
    ),
    "missing twin": (
        (
            "limit.a = n.size\nlimit.b = 0\nreturn limit",
            "limit.b = n.size\nlimit.a = n.size\nlimit.b = 0\nreturn limit",
        ),
    ),
    "elements": (
        ("return limit(n)", "return [limit(n)]"),
        ("first, second = limit, n\nreturn first", "second, first = limit, n\nreturn first"),
        ("known = (n, limit)\nreturn known", "known = (n, limit, 'spelt')\nreturn known"),
    ),
    "made up for": (
        (
            "for x in limit:\n    n += x\nreturn n",
            "if limit is None:\n    limit = []\nfor x in limit:\n    n += x\nreturn n",
        ),
    ),
    "extra block": (("if n:\n    limit = 2\nreturn limit", "limit = 2\nreturn limit"),),
    "extra line": (("n = 0\nlimit = 1\nreturn n", "limit = 1\nreturn n"),),
    "extra lines": (("n = 1\nlimit = 2\nreturn n", "return n"),),
    "extra return": (("for x in n:\n    return print(x)", "for x in n:\n    print(x)"),),
    "generator": (
        (
            "yield n\nfor x in limit:\n    f(x, limit)",
            "yield n\nfor x in limit:\n    yield from f(x, limit)",
        ),
    ),
    "exchanged values": (
        ("n.low = limit.high\nn.high = limit.low", "n.low = limit.low\nn.high = limit.high"),
        ("n, limit = limit, 1\nn += (2,)\nreturn n", "n, limit = (2,)\nn += limit, 1\nreturn n"),
    ),
    "indentation": (
        (
            "for x in n:\n    limit += x\n    return limit",
            "for x in n:\n    limit += x\nreturn limit",
        ),
        ("for x in n:\n    y = x\nlimit.append(y)", "for x in n:\n    y = x\n    limit.append(y)"),
    ),
    "jump": (
        ("for x in n:\n    if x:\n        break", "for x in n:\n    if x:\n        continue"),
    ),
    "keyword": (("if n > 10:\n    n //= 2\nreturn n", "while n > 10:\n    n //= 2\nreturn n"),),
    "membership": (
        ("return n == 'a' or limit == 'b'", "return n in ('a', 'b') or limit == 'b'"),
        (
            "ok = ('x', 'y')\nreturn n in ('a', 'b') or limit == 'c'",
            "ok = ('x', 'y')\nreturn n in ('a', 'b', 'c') or limit == 'c'",
        ),
        ("return n in ('a', 'b', 'c')", "return n in ('a', 'c')"),
        ("return n in ('a', 'b', 'c')", "return n in ('a', 'b')"),
    ),
    "missing argument": (
        ("return n.split()", "return n.split(limit)"),
        ("return max(n, limit, key=len)", "return max(n, limit)"),
    ),
    "missing assignment": (("n.strip()\nreturn n", "n = n.strip()\nreturn n"),),
    "missing base case": (("return n[0]", "if not n:\n    return []\nreturn n[0]"),),
    "missing branch": (
        (
            "if limit == 'ab':\n    return n - 1\nraise ValueError",
            "if limit == 'ab':\n    return n - 1\nelif limit == 'spelt':\n    return n + 1\nraise ValueError",
        ),
    ),
    "missing call": (
        ("d = n - limit\nreturn d", "d = abs(n - limit)\nreturn d"),
        ("return sorted(n)", "return n"),
        (
            "word = n.strip()\nreturn limit.sub('-', n)",
            "word = n.strip()\nreturn limit.sub('-', n).strip('-')",
        ),
    ),
    "missing condition": (
        ("return n > 1 and limit > 1", "return n > 1"),
        ("for x in n:\n    limit += 1", "for x in n:\n    if limit == x:\n        limit += 1"),
        ("if n.size > limit:\n    return n", "if n is not None and n.size > limit:\n    return n"),
        ("return isinstance(n, str)", "return isinstance(n, str) and not limit"),
    ),
    "missing guard": (
        (
            "for x in n:\n    limit += x.size\nreturn limit",
            "for x in n:\n    if x is None:\n        continue\n    limit += x.size\nreturn limit",
        ),
        (
            "total = sum(n)\nreturn total / len(n)",
            "total = sum(n)\nif not n:\n    return 0\nreturn total / len(n)",
        ),
    ),
    "missing index": (
        ("return sum(n)", "return sum(n[:limit])"),
        ("return [x for x in n]", "return [x for x in n[:limit]]"),
        ("return [x for x in n]", "return [x for x in n][1:]"),
    ),
    "missing line": (("total = n + 1", "total = n + 1\nreturn total"),),
    "missing operator": (
        ("return 2 ** 3 * n", "return 2 ** n"),
        ("return n // 2 + 1", "return n // 2"),
    ),
    "missing return": (("if n:\n    n + 1\nreturn 0", "if n:\n    return n + 1\nreturn 0"),),
    "misspelt name": (
        ("return len(m) + max(m)", "return len(n) + max(n)"),
        ("limits = n\nreturn limis[0] + limis[1]", "limits = n\nreturn limits[0] + limits[1]"),
    ),
    "missing try": (
        (
            "for part in n:\n    limit.append(float(part))\nreturn limit",
            "for part in n:\n    try:\n        limit.append(float(part))\n    except ValueError:\n        continue\nreturn limit",
        ),
        (
            "value = int(n)\nreturn value",
            "try:\n    value = int(n)\nexcept ValueError:\n    value = limit\nreturn value",
        ),
    ),
    "name": (
        ("return n.lower()", "return n.upper()"),
        ("return min(n)", "return max(n)"),
        ("return n.lstrip(limit)", "return n.removeprefix(limit)"),
    ),
    "negation": (
        ("if n:\n    return 1", "if not n:\n    return 1"),
        ("if not n:\n    return 1", "if n:\n    return 1"),
        ("if n:\n    return True\nreturn False", "if n:\n    return False\nreturn True"),
        ("return [x for x in n if x[0]]", "return [x for x in n if not x[0]]"),
    ),
    "off by one": (("return [n for n in range(limit)]", "return [n for n in range(limit + 1)]"),),
    "order": (
        ("return sorted(n)", "return sorted(n, reverse=True)"),
        ("return sorted(x for x in n)", "return sorted((x for x in n), reverse=True)"),
        ("n = limit\nlimit = n\nreturn n", "limit = n\nn = limit\nreturn n"),
    ),
    "other expression": (("return n / limit + len(n)", "return n / len(n) + len(n)"),),
    "pattern": (
        ("return re.match(r'[A-Z]{2}', n)", "return re.match(r'[A-Z]{2}$', n)"),
        ("return re.sub('[a-z]*', limit, n)", "return re.sub('[a-z]+', limit, n)"),
        ("return re.split(r'[\\s]+', n)", "return re.split(r'[-\\s]+', n)"),
    ),
    "precedence": (("return n + limit * 2", "return (n + limit) * 2"),),
    "range": (("for i in range(n):\n    print(i)", "for i in range(1, n):\n    print(i)"),),
    "slice": (
        ("return n[:limit]", "return n[:limit + 1]"),
        ("return n[limit:]", "return n[limit + 1:]"),
        ("return n[::1]", "return n[::-1]"),
        ("return n[:limit]", "return n[-limit:]"),
    ),
    "string": (("return n + ','", "return n + ', '"),),
    "swapped arguments": (("return divmod(n, limit)", "return divmod(limit, n)"),),
    "swapped operands": (("return n - limit", "return limit - n"),),
    "truth": (
        ("if not n:\n    return limit\nreturn n", "if n is None:\n    return limit\nreturn n"),
        ("return [x for x in n if x]", "return [x for x in n if x is not None]"),
        ("if n is None:\n    return limit\nreturn n", "if not n:\n    return limit\nreturn n"),
    ),
    "type": (
        (
            "if isinstance(n, list):\n    return limit\nreturn n",
            "if isinstance(n, (list, tuple)):\n    return limit\nreturn n",
        ),
    ),
    "variable": (
        ("return n", "return limit"),
        ("return nn + limit", "return n + limit"),
    ),
    "wrong return": (
        ("if n:\n    return n + 1\nreturn 0", "if n:\n    return n + 1\nreturn None"),
    ),
    "as beside it": (
        ("a, b = abs(n), limit\nreturn a + b", "a, b = abs(n), abs(limit)\nreturn a + b"),
        ("return n.strip() == limit", "return n.strip() == limit.strip()"),
    ),
    "first value": (("ways = [0] * n\nreturn ways", "ways = [0] * n\nways[0] = 1\nreturn ways"),),
    "missing parameter": (
        (
            "def g(a):\n    return print(a)\nreturn g(n)",
            "def g(a, size=None):\n    return print(a, size=size)\nreturn g(n)",
        ),
        (
            "class A:\n    def __init__(self):\n        self.a = n\nreturn A()",
            "class A:\n    def __init__(self, size=0):\n        self.a = n\n        self.size = size\nreturn A()",
        ),
        (
            "class A:\n    def h():\n        return n\nreturn A().h()",
            "class A:\n    def h(self):\n        return n\nreturn A().h()",
        ),
    ),
    "renamed parameter": (
        (
            "def g(a):\n    return a + 1\nreturn g(n)",
            "def g(size):\n    return size + 1\nreturn g(n)",
        ),
    ),
    "missing default": (
        (
            "def k(a, b):\n    return a\nreturn k(n, n)",
            "def k(a, b=None):\n    return a\nreturn k(n, n)",
        ),
    ),
    "type guard": (
        ("return n + 1", "if not isinstance(n, str):\n    return\nreturn n + 1"),
        (
            "class A:\n    def __eq__(self, m):\n        return self.n == m.n\nreturn A() == n",
            "class A:\n    def __eq__(self, m):\n        if not isinstance(m, A):\n            return NotImplemented\n        return self.n == m.n\nreturn A() == n",
        ),
    ),
    "missing key": (
        ("for x in n:\n    limit[x] += 1", "for x in n:\n    limit[x] = limit.get(x, 0) + 1"),
        ("limit[n].append(1)", "limit.setdefault(n, []).append(1)"),
    ),
    "both sides": (("return n == limit", "return n.lower() == limit.lower()"),),
    "value if any": (
        (
            "parts = n.split(limit)\nreturn parts",
            "parts = n.split(limit) if n else []\nreturn parts",
        ),
    ),
    "lazy value": (
        ("return (x for x in n)", "return tuple(x for x in n)"),
        ("return filter(limit, n)", "return list(filter(limit, n))"),
        ("return [n]", "return list(n)"),
    ),
    "missing option": (
        ("return n.split(':')", "return n.split(':', 1)"),
        ("return re.match('a', n)", "return re.match('a', n, re.IGNORECASE)"),
        ("return n.strip() + '/'", "return n.strip('/') + '/'"),
        ("return next(n)", "return next(n, None)"),
    ),
    "missing conversion": (
        ("n.sort()\nreturn n", "n = list(n)\nn.sort()\nreturn n"),
        ("return n + limit", "limit = str(limit)\nreturn n + limit"),
    ),
    "bound late": (
        ("return [lambda: x for x in n]", "return [lambda x=x: x for x in n]"),
        (
            "for x in n:\n    limit.append(lambda y: x + y)",
            "for x in n:\n    limit.append(lambda y, x=x: x + y)",
        ),
    ),
    "base not made": (
        (
            "class A(limit):\n    def __init__(self, m):\n        self.m = m\nreturn A(n)",
            "class A(limit):\n    def __init__(self, m):\n        super().__init__()\n        self.m = m\nreturn A(n)",
        ),
    ),
    "lost result": (
        ("n.replace('a', 'b')\nreturn n", "n = n.replace('a', 'b')\nreturn n"),
        ("f(n.next, limit)\nreturn n", "n.next = f(n.next, limit)\nreturn n"),
    ),
    "missing best": (
        (
            "best = 0\nfor a in n:\n    best = a * limit\nreturn best",
            "best = 0\nfor a in n:\n    best = max(best, a * limit)\nreturn best",
        ),
    ),
    "missing bound": (("if limit == 3:\n    return n", "if n < 0 or limit == 3:\n    return n"),),
    "missing mark": (
        (
            "done = set()\nfor a in n:\n    if a not in done:\n        f(a, done)",
            "done = set()\nfor a in n:\n    if a not in done:\n        done.add(a)\n        f(a, done)",
        ),
    ),
    "missing member": (
        (
            "done = set()\nfor a in n:\n    if a > limit:\n        done.add(a)",
            "done = set()\nfor a in n:\n    if a > limit and a not in done:\n        done.add(a)",
        ),
    ),
    "sort key": (
        ("return sorted(n)", "return sorted(n, key=len)"),
        ("n.sort(reverse=True)", "n.sort(reverse=True, key=lambda item: item[1])"),
        (
            "return max(n, key=lambda pair: pair[1])",
            "return max(n, key=lambda pair: (pair[1], pair[0]))",
        ),
    ),
}
