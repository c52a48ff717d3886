"""How many tokens and commands people's changes take in the edit language, and in other forms.

    python tests/benchmarks/measure_format.py "training/bugs/real_bugs.jsonl#train" --clones CLONES

Measured are the human fixes of a list of real bugs that lie within one function. Counted are the
tokens that a model has to write, without the states that it reads between commands. Prints a table
for docs/training.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import mean

from coe_lsp.chain.commands import render
from coe_lsp.chain.edits import hunks_between, shortest_commands
from coe_lsp.chain.prompt import Segment
from coe_lsp.cli.progress import BarProgress
from coe_lsp.engine.engine import Engine
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.policy.protocol import COMMAND_TOKENS
from coe_lsp.repair.target.source import SourceFile
from training.bugs.bugs import load_bugs
from training.bugs.command import bug_store
from training.bugs.store import Store
from training.bugs.tasks import NotOneFunctionError, faulty_function

Lines = Sequence[str]
Count = Callable[[str], int]
# About what two lines take; see `shortest_commands`.
_TURN = 20
_HEAD = ("form", "tokens: median", "9 of 10", "mean", "1 command", "up to 2", "up to 4", "longest")


def by_line(before: Lines, after: Lines, count: Count) -> list[str]:
    """The paper's commands."""
    commands = shortest_commands(before, after, blocks=False, words=True, cost=count, turn=_TURN)
    return [render(command) for command in commands]


def with_blocks(before: Lines, after: Lines, count: Count) -> list[str]:
    """The paper's commands and the blocks."""
    commands = shortest_commands(before, after, words=True, cost=count, turn=_TURN)
    return [render(command) for command in commands]


def unified(before: Lines, after: Lines, count: Count) -> list[str]:
    """A hunk of a unified diff with a line of context on each side."""
    texts: list[str] = []
    for hunk in hunks_between(before, after):
        above, below = (
            before[max(0, hunk.first - 1) : hunk.first],
            before[hunk.last : hunk.last + 1],
        )
        old, new = before[hunk.first : hunk.last], after[hunk.start : hunk.end]
        around = len(above) + len(below)
        head = f"@@ -{hunk.first - len(above) + 1},{len(old) + around}"
        head += f" +{hunk.start - len(above) + 1},{len(new) + around} @@"
        body = [" " + line for line in above] + ["-" + line for line in old]
        body += ["+" + line for line in new] + [" " + line for line in below]
        texts.append("\n".join([head, *body]))
    return texts


def search_and_replace(before: Lines, after: Lines, count: Count) -> list[str]:
    """The old lines, with as many around them as name one place, and the new ones."""
    texts: list[str] = []
    for hunk in hunks_between(before, after):
        first, last = hunk.first, hunk.last
        while first == last or _places(before, before[first:last]) > 1:
            if (first > 0 and hunk.first - first <= last - hunk.last) or last == len(before):
                first -= 1
            else:
                last += 1
            if (first, last) == (0, len(before)):
                break
        above, below = before[first : hunk.first], before[hunk.last : last]
        new = [*above, *after[hunk.start : hunk.end], *below]
        parts = ["<<<<<<< SEARCH", *before[first:last], "=======", *new, ">>>>>>> REPLACE"]
        texts.append("\n".join(parts))
    return texts


def _places(lines: Lines, part: Lines) -> int:
    size = len(part)
    return sum(list(lines[n : n + size]) == list(part) for n in range(len(lines) - size + 1))


FORMS = {
    "lines (`REPL`, `ADDL`, `DELL`, `REPW`)": by_line,
    "with blocks (`REPB`, `ADDB`)": with_blocks,
    "hunks of a unified diff": unified,
    "search and replace": search_and_replace,
}


def table(pairs: Sequence[tuple[Lines, Lines]], count: Count) -> str:
    """The forms in Markdown."""
    rows = ["| " + " | ".join(_HEAD) + " |", "|" + " --- |" * len(_HEAD)]
    for name, form in FORMS.items():
        written = [[count(text) for text in form(*pair, count)] for pair in pairs]
        totals = sorted(map(sum, written))
        shares = [sum(len(some) <= most for some in written) / len(pairs) for most in (1, 2, 4)]
        fits = sum(max(some) <= COMMAND_TOKENS for some in written) / len(pairs)
        cells = [
            name,
            str(totals[len(totals) // 2]),
            str(totals[int(0.9 * len(totals))]),
            f"{mean(totals):.0f}",
            *(f"{share:.0%}" for share in shares),
            f"{fits:.0%} up to {COMMAND_TOKENS} tokens",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def fixes(name: str, store: Store) -> Iterator[tuple[Lines, Lines]]:
    """The functions of a list's faults as people left them wrong, and as they mended them."""
    path, _, split = name.partition("#")
    for bug in load_bugs(Path(path), split=split):
        if bug.kind != "fault" or bug.function is None or len(bug.files) > 1:
            continue
        ((file, text),) = store.read(bug.origin, bug.origin.after, bug.files).items()
        source = SourceFile.parse(Path(file), text.encode())
        try:
            faulty = faulty_function(bug, store, source)
        except NotOneFunctionError:
            continue
        yield faulty, source.scratch_lines(source.find(bug.function))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bugs", help="a list of real bugs, optionally path#split")
    parser.add_argument("--clones", type=Path, help="clones of their repositories")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", help="whose tokens are counted")
    options = parser.parse_args()
    pairs = list(fixes(options.bugs, Store(bug_store(), options.clones)))
    path = ensure(resolve(options.model), progress=BarProgress())
    with Engine(path, context_tokens=256, max_sequences=1) as engine:
        tokens = cache(lambda text: len(engine.tokenize([Segment(text)], add_bos=False)))
        print(f"{len(pairs)} functions\n")
        print(table(pairs, tokens))


if __name__ == "__main__":
    main()
