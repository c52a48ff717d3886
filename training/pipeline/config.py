"""The settings of a training run, read from a TOML file and checked before anything long starts."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cattrs
from attrs import field, frozen, validators
from attrs.validators import ge, gt, le
from cattrs.v import format_exception

from coe_lsp.errors import CoeError
from training.demonstrations.traces import Recipe
from training.settings import Lora, RlvrConfig, SftConfig


class ConfigError(CoeError):
    """A configuration cannot be used; the message names the setting."""


class _WrongTypeError(TypeError):
    """Says itself what is wrong."""


@frozen
class ModelConfig:
    """`base`: a registry name, a GGUF, a folder or a hub repository.

    `dtype` is that of its weights in training; `auto` is bfloat16 where the processor multiplies
    such numbers faster, else float32. `adapter`: a GGUF to go on from, or `shipped` for the one
    that coe-lsp has for this base.
    """

    base: str = "qwen2.5-coder-0.5b"
    adapter: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["cpu", "auto"] = "auto"
    lora: Lora = field(factory=Lora)


@frozen
class TasksConfig:
    """Where tasks come from. Paths are relative to the working directory.

    `files`: task files, each optionally as `path#split`, or `mbpp` for the hub. `project` and
    `packages` are harvested; `history` is a git repository, and `bugs` a list of real bugs,
    optionally as `path#split`, whose mended functions are tasks too. Tasks whose program is also in
    one of `exclude` are dropped; of the rest `most` are drawn.
    """

    files: tuple[str, ...] = ()
    project: str | None = None
    python: str | None = None
    packages: tuple[str, ...] = ()
    history: str | None = None
    bugs: str | None = None
    clones: str | None = None
    exclude: tuple[str, ...] = ()
    max_lines: int = 40
    most: int | None = field(default=None, validator=validators.optional(gt(0)))


@frozen
class StartsConfig:
    """Start programs of the stages after SFT: `corrupted` a task, and what models got wrong.

    `written`: faulty programs a task that the base model writes (3-shot) and that the SFT model
    leaves behind in failed chains at `temperature`. At most `most` a task, of `tasks` of them. None
    is what a demonstration begins with, nor what one greedy chain repairs. `held_out`: programs of
    functions that are held out, on which RLVR's steps and the finished adapter are measured.
    """

    corrupted: int = 4
    written: int = 4
    temperature: float = 1.2
    most: int = 20
    tasks: int = 400
    held_out: int = 40


@frozen
class RejectionConfig:
    """Rejection sampling between SFT and RLVR: chains a program, and how many are kept of each.

    `max_turns` of a chain. `model`: a registry name or GGUF of a stronger model whose chains are
    taken instead. `epochs` over what was kept and the old data beside it; all else is as in `sft`.
    """

    each: int = field(default=4, validator=gt(0))
    keep: int = field(default=2, validator=gt(0))
    max_turns: int = field(default=4, validator=gt(0))
    model: str | None = None
    epochs: float = field(default=1.0, validator=gt(0))


@frozen
class ExpertConfig:
    """Expert iteration: the product's search, for at most `seconds` of each start program.

    `max_turns`: commands of a demonstration. `model`: a registry name or GGUF of a larger model
    that the search asks in place of the one under training. `epochs` as in `rejection`.
    """

    seconds: float = field(default=20.0, validator=gt(0))
    max_turns: int = field(default=4, validator=gt(0))
    model: str | None = None
    epochs: float = field(default=1.0, validator=gt(0))


@frozen
class EvaluationPlan:
    """What the last stage measures: task files, how many tasks of each, samples a task."""

    files: tuple[str, ...] = ()
    tasks: int = 100
    samples: int = 4
    policies: tuple[Literal["coe", "base", "direct", "direct-3"], ...] = ("coe", "base")


@frozen
class RunConfig:
    """Everything about one run. `stages` are those after SFT that are wanted.

    `held_out`: the share of functions that is never trained on.
    """

    out: str
    seed: int = 0
    processes: int = field(default=2, validator=gt(0))
    sandbox: Literal["auto", "off"] = "auto"
    stages: tuple[Literal["rejection", "expert", "rlvr"], ...] = ("rlvr",)
    random_rewards: bool = False
    held_out: float = field(default=0.1, validator=[ge(0), le(0.5)])
    max_tokens: int = field(default=2048, validator=gt(0))
    model: ModelConfig = field(factory=ModelConfig)
    tasks: TasksConfig = field(factory=TasksConfig)
    demonstrations: Recipe = field(factory=Recipe)
    sft: SftConfig = field(factory=SftConfig)
    starts: StartsConfig = field(factory=StartsConfig)
    rejection: RejectionConfig = field(factory=RejectionConfig)
    expert: ExpertConfig = field(factory=ExpertConfig)
    rlvr: RlvrConfig = field(factory=RlvrConfig)
    evaluation: EvaluationPlan = field(factory=EvaluationPlan)


def read_config(path: Path) -> RunConfig:
    """Read a run's settings. ConfigError names what is wrong and where."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    converter = cattrs.Converter(forbid_extra_keys=True)
    for plain in (int, float, str, bool):
        converter.register_structure_hook(plain, _exactly(plain))
    # A text is a sequence as well, of letters.
    converter.register_structure_hook_func(
        lambda kind: get_origin(kind) is tuple,
        lambda value, kind: tuple(
            converter.structure(item, get_args(kind)[0]) for item in _listed(value)
        ),
    )
    try:
        return converter.structure(data, RunConfig)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error, path="config", format_exception=_say))
        raise ConfigError(f"{path}: {problems}.") from error


def _exactly(kind: type[Any]) -> Callable[[Any, Any], Any]:
    """No silent conversions: "5" is not a number, and 1 is not a switch."""

    def structure(value: Any, _: Any) -> Any:
        allowed = (int, float) if kind is float else (kind,)
        if not isinstance(value, allowed) or (kind is not bool and isinstance(value, bool)):
            raise _WrongTypeError(f"expected {kind.__name__}, got {value!r}")
        return kind(value)

    return structure


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _WrongTypeError(f"expected a list, got {value!r}")
    return value


def _say(error: BaseException, kind: type | None) -> str:
    """What cattrs says, but with the value that was given where a plain one is wrong."""
    if isinstance(error, _WrongTypeError) or type(error) is ValueError:  # the latter: a validator's
        return str(error)
    return format_exception(error, kind)
