"""The grammar admits what the parser reads and the program has lines for, and nothing else."""

import ctypes
import functools
import re

import pytest
from chain_strategies import commands, damaged_commands, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_lsp.chain.commands import (
    AddBlock,
    AddLine,
    CommandError,
    Exit,
    Reason,
    ReplaceBlock,
    parse,
    render,
)
from coe_lsp.chain.grammar import grammar

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[\w-]+|[()|*?]')


class Matcher:
    """A reader of the part of GBNF that is used here: `match` says whether a text is admitted."""

    def __init__(self, text: str) -> None:
        self.rules = {}
        for line in text.split("\n"):
            name, _, body = line.partition(" ::= ")
            self.tokens = TOKEN.findall(body)
            assert not TOKEN.sub("", body).strip()  # nothing in it that this does not know
            self.rules[name] = self.alternatives()
            assert not self.tokens

    def alternatives(self):
        found = [self.sequence()]
        while self.tokens and self.tokens[0] == "|":
            self.tokens.pop(0)
            found.append(self.sequence())
        return ("or", tuple(found))

    def sequence(self):
        items = []
        while self.tokens and self.tokens[0] not in ("|", ")"):
            token = self.tokens.pop(0)
            if token == "(":
                item = self.alternatives()
                assert self.tokens.pop(0) == ")"
            elif token[0] == '"':
                item = ("text", token[1:-1].replace("\\n", "\n"))
            elif token[0] == "[":
                item = ("class", re.compile(token))
            else:
                item = ("rule", token)
            if self.tokens and self.tokens[0] in ("*", "?"):
                item = (self.tokens.pop(0), item)
            items.append(item)
        return ("and", tuple(items))

    def match(self, text: str) -> bool:
        @functools.cache
        def ends(item, start: int) -> frozenset[int]:
            kind, what = item
            match kind:
                case "text":
                    return frozenset([start + len(what)] if text.startswith(what, start) else [])
                case "class":
                    found = start < len(text) and what.fullmatch(text[start])
                    return frozenset([start + 1] if found else [])
                case "rule":
                    return ends(self.rules[what], start)
                case "or":
                    return frozenset().union(*(ends(part, start) for part in what))
                case "and":
                    places = frozenset([start])
                    for part in what:
                        places = frozenset().union(*(ends(part, place) for place in places))
                    return places
                case "?":
                    return ends(what, start) | {start}
                case "*":
                    places = new = frozenset([start])
                    while new:
                        new = frozenset().union(*(ends(what, place) for place in new)) - places
                        places |= new
                    return places

        return len(text) in ends(("rule", "root"), 0)


@functools.cache
def matcher(line_count: int) -> Matcher:
    return Matcher(grammar(line_count))


def wanted(text: str, line_count: int) -> bool:
    """What the parser and the scratchpad say, without the grammar."""
    try:
        command = parse(text)
    except CommandError as error:
        if error.reason is not Reason.ORDER:
            return False
        head, newline, rest = text.partition("\n")  # which it admits: the numbers the other way
        name, first, last = head.rsplit(" ", 2)
        return wanted(f"{name} {last} {first}{newline}{rest}", line_count)
    match command:
        case Exit():
            return False
        case ReplaceBlock(_, last):
            return last <= line_count
        case AddLine(line) | AddBlock(line):
            return line <= line_count + 1
        case _:
            return command.line <= line_count


answers = st.one_of(texts, commands.map(render), damaged_commands()).filter(lambda t: len(t) < 90)
CASES = [
    ("### REPW 1 >>> >>>a >>>b", 3),
    ("### REPW 1 >>>  >>>b", 3),
    ("### REPW 1 >>>> >>>>>b", 3),
    ("### REPW 1 >>>a >>b", 3),
    ("### EXIT ", 3),
    ("### EXIT\n\n", 3),
    ("### ADDL 1 >>>", 0),
    ("### DELL 1", 0),
    ("### REPL 4 >>>x\n", 3),
    ("### ADDL 4 >>>x\n", 3),
    ("### ADDL 5 >>>x", 3),
    ("### REPB 1 3", 3),
    ("### REPB 1 3\n", 3),
    ("### REPB 3 1\n>>>x", 3),
    ("### REPB 2 4\n>>>x", 3),
    ("### REPB 2 3\n>>>x\n>>>\n>>>  y", 3),
    ("### REPB 2 3\n>>>x\n", 3),
    ("### REPB 2 3\n>>>x\n\n", 3),
    ("### REPB 2 3\n>>>x\n>>", 3),
    ("### REPB 2 3\n>>>x\n### EXIT", 3),
    ("### REPB 1 1", 0),
    ("### ADDB 4\n>>>x\n>>>>>> y", 3),
    ("### ADDB 5\n>>>x", 3),
    ("### ADDB 4", 3),
    ("### ADDB 1\n>>>", 0),
    ("### DELL 1\n>>>x", 3),
]


@settings(max_examples=400)
@given(answers, st.integers(0, 12))
def test_it_admits_what_the_parser_reads(text, line_count):
    assert matcher(line_count).match(text) == wanted(text, line_count)


@pytest.mark.parametrize(("text", "line_count"), CASES)
def test_cases(text, line_count):
    assert matcher(line_count).match(text) == wanted(text, line_count)


@pytest.mark.parametrize("text", ["### REPB 2 3\n>>>x", "### ADDB 2\n>>>x", "### REPL 2 >>>x"])
def test_where_no_token_ends_a_turn_an_empty_line_ends_a_block_and_only_that(text):
    rules = Matcher(grammar(3, blank_line_ends_block=True))
    assert rules.match(text) and rules.match(text + "\n")
    assert rules.match(text + "\n\n") == ("REPL" not in text)
    assert not rules.match(text + "\n\n\n")


@settings(max_examples=300)
@given(st.text(" >ab", max_size=12))
def test_where_the_old_text_ends(text):
    whole = f"### REPW 1 >>>{text}"
    assert matcher(1).match(whole) == wanted(whole, 1)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 10, 11, 19, 20, 98, 99, 100, 101, 109, 110, 999])
def test_exactly_the_lines_that_exist(count):
    rules = matcher(count)
    near = {*range(130), *range(max(0, count - 12), count + 12), 1000, 9999, 10000}
    for number in near:
        assert rules.match(f"### DELL {number}") == (1 <= number <= count)
        assert rules.match(f"### REPW {number} >>>a >>>b") == (1 <= number <= count)
        assert rules.match(f"### ADDL {number} >>>x") == (1 <= number <= count + 1)
        assert not rules.match(f"### DELL 0{number}")


def test_it_stays_small_for_a_long_program():
    assert len(grammar(987_654)) < 2 * len(grammar(9))


@pytest.mark.model
def test_llama_cpp_agrees(small_model):
    """The same strings, token by token, through llama.cpp's own grammar."""
    from coe_lsp.engine.binding import lib, silence
    from coe_lsp.engine.vocabulary import Vocabulary

    strings = [
        *CASES,
        ("### REPL 2 >>>    return 'é\u2028'  \t\f", 3),
        ("### REPW 3 >>>a  >> b >>>c >>> d", 3),
        ("### REPW 123 >>>  x >>>", 123),
        ("### REPW 124 >>>x >>>", 123),
        ("### REPW 1 >>>x>>>y", 3),
        ("### DELL 7\n", 12),
        ("### DELL 07", 12),
        ("### EXIT", 0),
        ("### QUIT", 5),
        ("return x", 5),
        ("", 5),
    ]
    silence()
    parameters = lib.llama_model_default_params()
    parameters.vocab_only = True
    model = lib.llama_model_load_from_file(str(small_model).encode(), parameters)
    try:
        vocabulary = Vocabulary(model)
        for text, count in strings:
            assert llama_admits(lib, vocabulary, grammar(count), text) == wanted(text, count), text
    finally:
        lib.llama_model_free(model)


def llama_admits(lib, vocabulary, rules: str, text: str) -> bool:
    sampler = lib.llama_sampler_init_grammar(vocabulary.handle, rules.encode(), b"root")
    assert sampler, "llama.cpp cannot parse the grammar"
    try:
        for token in [*vocabulary.encode(text.encode()), lib.llama_vocab_eos(vocabulary.handle)]:
            one = (lib.llama_token_data * 1)(lib.llama_token_data(token, 0.0, 0.0))
            array = lib.llama_token_data_array(one, 1, -1, False)
            lib.llama_sampler_apply(sampler, ctypes.byref(array))
            if one[0].logit != 0.0:
                return False
            if vocabulary.piece(token) is not None:
                lib.llama_sampler_accept(sampler, token)
        return True
    finally:
        lib.llama_sampler_free(sampler)
