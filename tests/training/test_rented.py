"""Pieces that are carried, and a whole rented run on the CPU: killed in each slice, and gone on."""

import os
from pathlib import Path

import pytest

from training.model.encoded import load_examples, save_examples
from training.rented.pieces import PiecesError, cut_folder, join_folder
from training.rented.prepare import place_here
from training.tasks.tasks import Place, Task

ROOT = Path(__file__).parents[2]


def test_a_folder_comes_back_from_its_pieces(tmp_path):
    source = tmp_path / "source"
    (source / "in").mkdir(parents=True)
    data = os.urandom(50_000)
    (source / "in" / "large").write_bytes(data)
    (source / "small").write_text("x")
    pieces = cut_folder(source, ["in", "small"], tmp_path / "pieces", 20_000)
    assert len(pieces) == 4 and max(path.stat().st_size for path in pieces) == 20_000
    lost = pieces[2].read_bytes()
    pieces[2].write_bytes(lost[:-1])
    with pytest.raises(PiecesError, match=r"1 of 4 pieces .*piece-002"):
        join_folder(tmp_path / "pieces", tmp_path / "there")
    pieces[2].write_bytes(lost)
    join_folder(tmp_path / "pieces", tmp_path / "there")
    assert (tmp_path / "there" / "in" / "large").read_bytes() == data
    (tmp_path / "there" / "small").write_text("worked on")
    join_folder(tmp_path / "pieces", tmp_path / "there")
    assert (tmp_path / "there" / "small").read_text() == "worked on"
    with pytest.raises(PiecesError, match="carry that along"):
        join_folder(tmp_path, tmp_path / "there")


def test_encoded_examples_come_back_as_they_were(toy, tmp_path):
    path = tmp_path / "a" / "x.npz"
    save_examples(path, train=toy, validation=toy[:3], none=[])
    assert load_examples(path, "train") == toy
    assert load_examples(path, "validation") == toy[:3]
    assert load_examples(path, "none") == []


def test_a_function_is_found_where_the_bundle_is():
    task = Task("t", "x", ("a",), place=Place("projects/000-p", "m.py", "f", ""))
    moved = place_here(task, Path("/there"), "/python")
    assert (moved.place.root, moved.place.python) == ("/there/projects/000-p", "/python")
    assert place_here(moved, Path("/other"), "/python") == moved
