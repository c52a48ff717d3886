"""Text for labels, web addresses and receipts."""

import re
import unicodedata

_SMALL_WORDS = {"a", "an", "and", "for", "in", "of", "on", "or", "the", "to", "with"}


def slugify(title: str, max_length: int = 40) -> str:
    """Turn a title into a lower-case web address part: ASCII words joined by ``-``.

    A slug that is too long is cut at ``max_length`` and never ends in ``-``.
    """
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_title.lower()))
    if len(slug) <= max_length:
        return slug
    slug[:max_length].rstrip("-")


def wrap(text: str, width: int) -> list[str]:
    """Break ``text`` at spaces into lines of at most ``width`` characters.

    A word longer than ``width`` gets a line of its own and is not cut.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        if not line:
            line = word
        elif len(line) + len(word) <= width:
            line += " " + word
        else:
            lines.append(line)
            line = ""
    if line:
        lines.append(line)
    return lines


def truncate(text: str, limit: int, ellipsis: str = "...") -> str:
    """Shorten ``text`` to at most ``limit`` characters, ``ellipsis`` included."""
    if limit < len(ellipsis):
        raise ValueError(f"limit must be at least {len(ellipsis)}")
    if len(text) <= limit:
        return text
    return text[: limit - len(ellipsis)].rstrip() + ellipsis


def title_case(text: str) -> str:
    """Capitalise each word but the small ones, which keep a capital in first and last place."""
    words = text.lower().split()
    last = len(words) - 1
    return " ".join(
        word if word in _SMALL_WORDS and index not in (0, last) else word.capitalize()
        for index, word in enumerate(words)
    )


def receipt_line(label: str, amount: str, width: int = 32) -> str:
    """Return ``label`` on the left and ``amount`` on the right of a line, dots between."""
    room = width - len(amount) - 1
    label = truncate(label, room - 1)
    return f"{label} {'.' * (room - len(label) - 1)} {amount}"
