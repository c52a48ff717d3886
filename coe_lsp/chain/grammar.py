"""The edit language as a GBNF grammar for llama.cpp, with only the line numbers that exist.

A grammar makes malformed commands impossible, but not wrong ones: it cannot know whether the text
that REPW is to replace is in the line. Content is anything up to the end of the line.
"""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=256)
def grammar(line_count: int) -> str:
    """GBNF for one command on a program of `line_count` lines, with an optional line end."""
    rules = ['add ::= "ADDL " new " >>>" text']
    kinds = ["add"]
    if line_count:
        rules += [
            'replace ::= "REPL " old " >>>" text',
            'words ::= "REPW " old " >>>" some " >>>" text',
            'delete ::= "DELL " old',
            f"old ::= {_numbers(line_count)}",
        ]
        kinds += ["replace", "words", "delete"]
    return "\n".join(
        [
            f'root ::= "### " ({" | ".join([*kinds, "exit"])}) "\\n"?',
            *rules,
            'exit ::= "EXIT"',
            f"new ::= {_numbers(line_count + 1)}",
            r"text ::= [^\n]*",
            r"some ::= [^\n]+",
        ]
    )


def _numbers(last: int) -> str:
    return " | ".join(f'"{number}"' for number in range(1, last + 1))
