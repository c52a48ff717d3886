"""Pieces of context, the most telling of which are kept where there is no room for all.

It knows nothing of what is in them: which piece tells how much is said by those who make them.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen


@frozen
class Piece:
    """Some lines, in one or more forms, the longest first. The lowest `rank` tells most."""

    rank: int
    forms: tuple[str, ...]


def choose_pieces(pieces: Sequence[Piece], room: int) -> list[str]:
    """For each piece a form that fits, or "": there is room for so many characters together.

    Those that tell most choose first, and take the longest form that is left room for.
    """
    chosen = [""] * len(pieces)
    for index in sorted(range(len(pieces)), key=lambda n: pieces[n].rank):
        form = next((form for form in pieces[index].forms if len(form) < room), "")
        chosen[index] = form
        room -= len(form) + bool(form)
    return chosen
