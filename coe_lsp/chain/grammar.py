r"""The edit language as a GBNF grammar for llama.cpp, with only the line numbers that exist.

It admits what `commands.parse` reads and the program has lines for, but not EXIT: the loop ends by
itself when all tests pass, and giving up earlier mends nothing. It does not see to the order of the
two numbers of REPB: to say that the last is not before the first would take a rule for every
line. So commands written under it are malformed in two ways only: the last line of a block may be
before its first, and the text that REPW is to replace may not be in the line. Content is anything
up to the end of the line. A model that runs out of tokens can still leave a command unfinished.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

# `old` must not be empty nor contain " >>>", which ends it: the rules follow how much of " >>>" the
# text has just matched. "first" is at the start of `old`, and "onlyN" the same with nothing before.
_WORDS = r"""
first ::= " " only1 | [^ \n] body
only1 ::= " " body1 | ">" only2 | [^ >\n] body
only2 ::= " " body1 | ">" only3 | [^ >\n] body
only3 ::= " " body1 | [^ >\n] body
body ::= " " body1 | [^ \n] body
body1 ::= " " body1 | ">" body2 | [^ >\n] body
body2 ::= " " body1 | ">" body3 | [^ >\n] body
body3 ::= " " body1 | ">" text | [^ >\n] body
"""


@functools.lru_cache(maxsize=256)
def grammar(line_count: int, *, blank_line_ends_block: bool = False) -> str:
    """GBNF for one command on a program of `line_count` lines, with an optional line end.

    `blank_line_ends_block`: a block may have an empty line after that, see `PromptBuilder`.
    """
    rules = [
        f"new ::= {_numbers(line_count + 1)}",
        'add ::= "ADDL " new " >>>" text',
        'insert ::= "ADDB " new below below*',
        r'below ::= "\n>>>" text',
    ]
    kinds, blocks = ["add"], ["insert"]
    if line_count:
        rules += [
            f"line ::= {_numbers(line_count)}",
            'replace ::= "REPL " line " >>>" text',
            'words ::= "REPW " line " >>>" first',
            'delete ::= "DELL " line',
            'block ::= "REPB " line " " line below*',
            *_WORDS.split("\n")[1:-1],
        ]
        kinds += ["replace", "words", "delete"]
        blocks.append("block")
    ends = r'"\n"? "\n"?' if blank_line_ends_block else r'"\n"?'
    root = f'root ::= "### " (({" | ".join(kinds)}) "\\n"? | ({" | ".join(blocks)}) {ends})'
    return "\n".join([root, *rules, r"text ::= [^\n]*"])


def _numbers(last: int) -> str:
    """Alternatives for 1 to `last`, by ranges of digits: few, however long the program."""
    return " | ".join(_ranges(str(last)))


def _ranges(last: str) -> Iterator[str]:
    for length in range(1, len(last)):
        yield " ".join(["[1-9]", *["[0-9]"] * (length - 1)])
    for place, digit in enumerate(last):
        lowest = 0 if place else 1
        highest = int(digit) - (place + 1 < len(last))
        if lowest <= highest:
            rest = len(last) - place - 1
            known = [f'"{last[:place]}"'] if place else []
            yield " ".join([*known, f"[{lowest}-{highest}]", *["[0-9]"] * rest])
