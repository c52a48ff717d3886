"""Makes text of unknown origin (test ids, messages of tests, code) harmless where it is shown.

Terminals obey control characters, editors turn Markdown into links and images that they fetch, and
both let bidirectional controls reorder what is read. Pure.
"""

from __future__ import annotations

import re
import unicodedata

# Joiners stay: emoji and several scripts are written with them.
_KEPT = frozenset("\n\t\u200c\u200d")
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LIVE = re.compile(
    r"[\\`*_\[\]<>#|~&!$@]"  # emphasis, code, links, images, HTML, entities, addresses
    r"|^[-+=]"  # lists and underlined headings
    r"|:(?=//)|(?<=www)\.",  # bare links
    re.MULTILINE | re.IGNORECASE,
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])", re.MULTILINE)


def printable(text: str) -> str:
    """For terminals and messages: control characters and invisible ones written as escapes.

    Newlines and tabs are kept, and a carriage return before a newline is dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c) for c in text.replace("\r\n", "\n"))


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HARMFUL:
        return character
    return character.encode("unicode_escape").decode("ascii")


def markdown(text: str) -> str:
    """Markdown that reads as `text`: nothing in it is live. Its lines stay lines."""
    lines = (line.strip() for line in printable(text).split("\n"))
    escaped = _LIVE.sub(r"\\\g<0>", "  \n".join(lines))
    return _NUMBERED.sub(r"\1\\\2", escaped)


def code(text: str) -> str:
    """A Markdown code span of `text`, on one line."""
    line = " ".join(printable(text).split("\n"))
    ticks = _longer(line, 1)
    # A space at either end is taken off again, and keeps ticks in the text from joining ours.
    padded = f" {line} " if line[:1] in ("`", " ") or line[-1:] in ("`", " ") else line
    return f"{ticks}{padded}{ticks}" if line.strip() else ""


def fenced(text: str, language: str = "") -> str:
    """A Markdown code block of `text`, whatever fences are in it."""
    shown = printable(text).rstrip("\n")
    ticks = _longer(shown, 3)
    return f"{ticks}{language}\n{shown}\n{ticks}"


def _longer(text: str, least: int) -> str:
    """More backticks than there are anywhere in a row in `text`."""
    return "`" * max(least, *(len(run) + 1 for run in re.findall("`+", text)), 1)


def in_backticks(name: str) -> str:
    """A function's name as it stands in a sentence; what is words already (`line 12`) is left."""
    return name if " " in name else f"`{name}`"
