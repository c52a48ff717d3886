"""The right adapter is found for a base model, and a wrong one is refused with a clear sentence."""

from pathlib import Path

import pytest

from coe_lsp.models.adapters import AdapterError, find_adapter, resolve_adapter, weights_folder
from coe_lsp.models.registry import NotGgufError, load_registry


def adapters(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"GGUF" + bytes(20))
    return folder


def test_the_highest_version_wins_by_number(tmp_path: Path) -> None:
    folder = adapters(tmp_path, "m-1b-coe-v2.gguf", "m-1b-coe-v10.gguf", "m-1b-coe-v9.gguf")
    assert find_adapter("m-1b", folder) == tmp_path / "m-1b-coe-v10.gguf"


def test_only_the_whole_base_key_counts(tmp_path: Path) -> None:
    folder = adapters(
        tmp_path,
        "big-m-1b-coe-v1.gguf",
        "m-1b-chat-coe-v1.gguf",
        "m-1b-coe-v1.gguf.tmp",
        "m-1b-coe-vx.gguf",
        "mx1b-coe-v1.gguf",
    )
    assert find_adapter("m-1b", folder) is None
    assert find_adapter("m.1b", folder) is None  # the dot of a key is a dot


def test_a_missing_folder_holds_no_adapter(tmp_path: Path) -> None:
    assert find_adapter("m-1b", tmp_path / "none") is None


def test_shipped_adapters_belong_to_registered_models() -> None:
    keys = {spec.base_key for spec in load_registry().models}
    shipped = {path.name.rpartition("-coe-v")[0] for path in weights_folder().glob("*.gguf")}
    assert shipped <= keys


def test_automatic_choice(tmp_path: Path) -> None:
    folder = adapters(tmp_path, "m-1b-coe-v1.gguf")
    assert resolve_adapter(None, "m-1b", folder) == tmp_path / "m-1b-coe-v1.gguf"
    assert resolve_adapter(None, "other", folder) is None
    assert resolve_adapter(None, None, folder) is None


def test_none_means_the_bare_model(tmp_path: Path) -> None:
    assert resolve_adapter("none", "m-1b", adapters(tmp_path, "m-1b-coe-v1.gguf")) is None


def test_a_named_file_is_used_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters(tmp_path, "mine.gguf", "m-1b-coe-v1.gguf")
    monkeypatch.chdir(tmp_path)
    assert resolve_adapter("mine.gguf", "m-1b", tmp_path) == tmp_path / "mine.gguf"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"no adapter file .*gone\.gguf"):
        resolve_adapter(str(tmp_path / "gone.gguf"), "m-1b")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("version https://git-lfs")
    with pytest.raises(NotGgufError, match=r"adapter file .* is not a GGUF file"):
        resolve_adapter(str(tmp_path / "a.gguf"), "m-1b")
