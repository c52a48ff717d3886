"""Encoded examples on disk, so that a machine whose time costs need not make them.

Only what training reads: tokens, labels, turns. Labels are tokens, so a bit for each is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coe_lsp.files import replacing
from training.model.encode import NO_LABEL, TokenizedExample


def save_examples(path: Path, **several: Sequence[TokenizedExample]) -> None:
    """Write lists of examples, each by its name."""
    arrays: dict[str, np.ndarray] = {}
    for name, examples in several.items():
        arrays[f"{name}.lengths"] = np.array([len(e.ids) for e in examples], np.int32)
        arrays[f"{name}.ids"] = _flat([e.ids for e in examples], np.int32)
        arrays[f"{name}.turns"] = _flat([e.turn_of_token for e in examples], np.int16)
        learned = _flat([[x != NO_LABEL for x in e.labels] for e in examples], np.bool_)
        arrays[f"{name}.learned"] = np.packbits(learned)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_examples(path: Path, name: str) -> list[TokenizedExample]:
    """The examples of that name."""
    with np.load(path) as file:
        lengths, ids = file[f"{name}.lengths"], file[f"{name}.ids"]
        turns = file[f"{name}.turns"]
        learned = np.unpackbits(file[f"{name}.learned"], count=len(ids)).astype(bool)
    labels = np.where(learned, ids, NO_LABEL)
    ends = np.cumsum(lengths)[:-1]
    parts = zip(np.split(ids, ends), np.split(labels, ends), np.split(turns, ends), strict=True)
    if not len(lengths):
        return []
    return [
        TokenizedExample(tuple(a.tolist()), tuple(b.tolist()), tuple(c.tolist()))
        for a, b, c in parts
    ]


def _flat(rows: Sequence[Sequence[int]], kind: type[np.generic]) -> np.ndarray:
    parts = [np.array(row, kind) for row in rows]
    return np.concatenate(parts) if parts else np.zeros(0, kind)
