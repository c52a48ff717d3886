"""A repair put into a text that was edited meanwhile."""

from pathlib import Path

import pytest

from coe_lsp.lsp.rebase import StaleError, rebase
from coe_lsp.repair.target.source import SourceFile

_OLD = "import os\n\n\nclass Shelf\n    width = 2\n    depth = 3\n    height = 4\n    kind = 5\n\n\nlast = 1\n"


def _source(text):
    return SourceFile.parse(Path("shelf.py"), text.encode())


def test_the_repair_of_a_block_is_kept_with_an_edit_elsewhere():
    old, repaired = _source(_OLD), _source(_OLD.replace("Shelf", "Shelf:"))
    current = _source("x = 1\n" + _OLD.replace("last = 1", "last = 2"))
    found = "".join(rebase(old, repaired, current, "Shelf"))
    assert found == current.text.replace("Shelf", "Shelf:")


@pytest.mark.parametrize("edit", [("class Shelf", "class Box"), ("width = 2", "width = 3")])
def test_an_edit_beside_the_change_ends_the_offer(edit):
    old, repaired = _source(_OLD), _source(_OLD.replace("Shelf", "Shelf:"))
    with pytest.raises(StaleError, match="Shelf was edited"):
        rebase(old, repaired, _source(_OLD.replace(*edit)), "Shelf")
