"""A repair as data: blocks of one or several files with their new lines. Pure.

Everything that shows or applies a repair comes from a `Patch`: the editor's edit, the diff in the
terminal, `--apply` and `--json`. It runs no tests and reads no files; whether it repairs anything
is `Acceptance`'s business.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.escaping import in_backticks
from coe_lsp.repair.target.source import Function, SourceFile, unified_diff


class StaleError(CoeError):
    """The text has changed where the patch changes it; the message says in which block."""


@frozen
class BlockEdit:
    """The lines of `block` in `file` become `lines`.

    `file` is the path as in diffs, relative to the project's root. `lines` have neither line ends
    nor the indentation of the block's first line, as `SourceFile.scratch_lines` gives them.
    """

    file: str
    block: Function
    lines: tuple[str, ...]

    @property
    def growth(self) -> int:
        """By how many lines the file grows; negative if it shrinks."""
        return len(self.lines) - (self.block.last - self.block.first + 1)


def _in_order(edits: Sequence[BlockEdit]) -> tuple[BlockEdit, ...]:
    return tuple(sorted(edits, key=lambda edit: (edit.file, edit.block.first)))


@frozen
class Patch:
    """Disjoint edits of blocks, in the order of files and lines. ValueError if two overlap.

    Positions are those of the text before: no edit knows of the others.
    """

    edits: tuple[BlockEdit, ...] = field(default=(), converter=_in_order)

    def __attrs_post_init__(self) -> None:
        for one, other in zip(self.edits, self.edits[1:], strict=False):
            if one.file == other.file and one.block.last >= other.block.first:
                raise ValueError(f"{one.block.name} and {other.block.name} overlap")

    @property
    def files(self) -> tuple[str, ...]:
        """The files that change."""
        return tuple(dict.fromkeys(edit.file for edit in self.edits))

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks that change, by name."""
        return tuple(edit.block.name for edit in self.edits)

    def apply(self, sources: Mapping[str, SourceFile]) -> dict[str, SourceFile]:
        """The files that change, changed. `sources` has them as they are, by the edits' `file`."""
        changed: dict[str, SourceFile] = {}
        for edit in reversed(self.edits):  # from the bottom up, so that positions hold
            source = changed.get(edit.file, sources[edit.file])
            changed[edit.file] = evolve(source, lines=source.replace(edit.block, edit.lines))
        return {file: changed[file] for file in self.files}

    def diff(self, sources: Mapping[str, SourceFile]) -> str:
        """One unified diff of all files, for `git apply` or `patch -p1`."""
        changed = self.apply(sources)
        return "".join(
            unified_diff(file, sources[file].lines, changed[file].lines) for file in self.files
        )

    def then(self, later: Patch) -> Patch:
        """Both as one patch. `later` is of the text after this one; ValueError if they overlap."""
        return Patch((*self.edits, *(self._before(edit) for edit in later.edits)))

    def _before(self, edit: BlockEdit) -> BlockEdit:
        """An edit of the text after this patch as one of the text before."""
        shift = 0
        for mine in self.edits:
            if mine.file != edit.file or edit.block.last < mine.block.first + shift:
                continue
            if edit.block.first < mine.block.first + shift + len(mine.lines):
                raise ValueError(f"{mine.block.name} and {edit.block.name} overlap")
            shift += mine.growth
        return evolve(edit, block=_moved(edit.block, -shift))

    def rebase(self, old: Mapping[str, SourceFile], new: Mapping[str, SourceFile]) -> Patch:
        """The same patch for texts that were edited elsewhere, in whatever file.

        `old` has the texts that this patch is of, `new` those of now. StaleError if a block that
        it changes is not there as it was.
        """
        return Patch(
            tuple(
                evolve(edit, block=_find_block(edit.block, old[edit.file], new[edit.file]))
                for edit in self.edits
            )
        )


def _moved(block: Function, by: int) -> Function:
    return evolve(block, first=block.first + by, last=block.last + by)


def _find_block(block: Function, old: SourceFile, new: SourceFile) -> Function:
    """Where a block of `old` is in `new`: at its place between edits, or moved as a whole."""
    if old.lines == new.lines:
        return block
    first, last = block.first - 1, block.last
    matcher = difflib.SequenceMatcher(None, old.lines, new.lines, autojunk=False)
    for start, target, size in matcher.get_matching_blocks():
        if start <= first and last <= start + size:
            return _moved(block, target - start)
    piece = old.lines[first:last]
    places = [n for n in range(len(new.lines)) if new.lines[n : n + len(piece)] == piece]
    if len(places) != 1:
        raise StaleError(
            f"{in_backticks(block.name)} was edited while it was being repaired: the repair is not "
            "offered."
        )
    return _moved(block, places[0] - first)
