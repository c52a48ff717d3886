"""People read what is tried in plain words, with the file's line numbers."""

import pytest

from coe_lsp.chain.commands import parse
from coe_lsp.chain.wording import edit_in_words


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        (["### REPL 3 >>>    return slug[:limit]"], "line 12 changed to `return slug[:limit]`"),
        (["### ADDL 1 >>>import re"], "line 10 added: `import re`"),
        (["### REPW 2 >>>low >>>high"], "line 11: `low` changed to `high`"),
        (["### REPW 2 >>> + 1 >>>"], "line 11 without `+ 1`"),
        (["### DELL 4"], "line 13 taken out"),
        (["### REPB 1 3\n>>>a = 1\n>>>b = 2"], "lines 10 to 12 changed to `a = 1 ...`"),
        (["### REPB 1 3"], "lines 10 to 12 taken out"),
        (["### ADDB 2\n>>>\n>>>x = 1"], "2 lines added at line 11: `x = 1 ...`"),
        (["### EXIT"], "nothing changed"),
        (["### DELL 1", "### DELL 1", "### DELL 1"], "line 10 taken out and 2 more"),
        ([], ""),
    ],
)
def test_an_edit_in_words(commands, words):
    assert edit_in_words([parse(command) for command in commands], 10) == words


def test_long_code_is_cut():
    words = edit_in_words([parse("### REPL 1 >>>" + "x" * 500)], 1)
    assert len(words) < 90 and words.endswith("x...`")
