"""The settings: one table, from which they are checked, documented and compared.

Layers are read in order: the command line, or what the editor says and `initializationOptions`;
then `[tool.coe]` of the project's `pyproject.toml`. A wrong value is reported and the next layer's
is taken. The same table makes the one in docs/editors.md, and a test compares it with VS Code's
`package.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
from attrs import field, frozen

from coe_lsp.errors import CoeError
from coe_lsp.files import MOST_SETTINGS, read_text_bounded
from coe_lsp.parsing import parse_toml

if TYPE_CHECKING:  # the server reads settings before it needs what they are for
    from coe_lsp.execution.project import ProjectOptions
    from coe_lsp.repair.policy.loading import ModelOptions
    from coe_lsp.repair.request import Request
    from coe_lsp.repair.target.source import SourceFile
    from coe_lsp.repair.way_in import WayIn

# Characters of a wrong value that are told.
_MOST_SHOWN = 200


@frozen
class Rule:
    """What a setting may be. `kind` is a JSON type; `choices` the only values; bounds inclusive.

    Only some may be set by a project's `pyproject.toml`: it came with the code, and may not choose
    what holds that code back, nor what the server reads or writes.
    """

    name: str
    kind: Literal["string", "strings", "number", "integer"]
    text: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    project: bool = False

    @property
    def accepted(self) -> str:
        """The accepted values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {"strings": "a list of strings", "integer": "a whole number"}
        what = words.get(self.kind, f"a {self.kind}")
        if self.high is not None:
            return f"{what} from {self.low:g} to {self.high:g}"
        return what if self.low is None else f"{what} of at least {self.low:g}"

    def fits(self, value: object) -> bool:
        """Whether a JSON value is accepted."""
        if self.kind == "strings":
            items = cast("list[object]", value) if isinstance(value, list) else [None]
            return all(isinstance(item, str) for item in items)
        if self.kind == "string":
            return isinstance(value, str) and (not self.choices or value in self.choices)
        kinds = int if self.kind == "integer" else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
        low, high = self.low or 0.0, self.high
        # What no float can hold cannot be reckoned with: JSON has such whole numbers.
        return low <= value <= (sys.float_info.max if high is None else high)


def _setting(default: Any, name: str, kind: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"rule": Rule(name, kind, text, **more)})


@frozen
class Settings:
    """All settings with their defaults; times in seconds but for `idle_minutes`."""

    python: str | None = _setting(
        None, "python", "string", "The Python that runs the tests; else the editor's choice, "
        "`.venv`, `venv`, an active environment, then PATH.")  # fmt: skip
    tests: tuple[str, ...] = _setting(
        (), "tests", "strings", "Test files, pytest node ids or `assert` statements in place of "
        "those that are found.", project=True)  # fmt: skip
    test_timeout: float = _setting(
        5.0, "testTimeout", "number", "Seconds that one test may take; a file's tests together "
        "get twelve times that.", low=0.1, high=3600, project=True)  # fmt: skip
    model: str | None = _setting(
        None, "model", "string", "A known model's name, a GGUF file, REPOSITORY:FILE, or `none` "
        "for mutations alone; else the default model.")  # fmt: skip
    adapter: str | None = _setting(
        None, "adapter", "string", "A LoRA adapter (GGUF), or `none`; else the one shipped for "
        "the model. A changed file is picked up by the next repair.")  # fmt: skip
    second_model: str | None = _setting(
        None, "secondModel", "string", "A larger model that writes whole functions where ten "
        "seconds were not enough, named as `model` is, or `none`; else `qwen2.5-coder-1.5b` if it "
        "was fetched and the machine has 8 GB and six cores, or llama.cpp a GPU.")  # fmt: skip
    budget: float = _setting(
        60.0, "budget", "number", "Seconds that a repair may search.", low=1, high=86400,
        project=True)  # fmt: skip
    samples: int = _setting(
        16, "samples", "integer", "Commands that the model writes at a time.", low=1, high=64,
        project=True)  # fmt: skip
    sandbox: Literal["auto", "off"] = _setting(
        "auto", "sandbox", "string", "`off` runs the tests without isolation.",
        choices=("auto", "off"))  # fmt: skip
    env: tuple[str, ...] = _setting(
        (), "env", "strings", "Environment variables that the tests need: names of yours, or "
        "`NAME=value`. All but the usual ones are kept from them.")  # fmt: skip
    show: tuple[str, ...] = _setting(
        (), "show", "strings", "Folders that the tests may read besides the project and its "
        "Python, such as packages that are installed to be edited elsewhere.")  # fmt: skip
    run: Literal["onSave", "onDemand", "off"] = _setting(
        "onSave", "run", "string", "When the tests of an open file run: on opening and saving, "
        "only by command and repair, or by repair alone.",
        choices=("onSave", "onDemand", "off"), project=True)  # fmt: skip
    apply: Literal["preview", "direct"] = _setting(
        "preview", "apply", "string", "Show the change and ask, or apply it at once.",
        choices=("preview", "direct"))  # fmt: skip
    idle_minutes: float = _setting(
        10.0, "idleMinutes", "number", "Minutes without a repair after which the models and the "
        "test processes are given up.", low=0.1)  # fmt: skip
    log_level: Literal["info", "debug"] = _setting(
        "info", "logLevel", "string", "`debug` also logs what the protocol says, with source "
        "code.", choices=("info", "debug"))  # fmt: skip

    def request(
        self,
        way: WayIn,
        source: SourceFile | None = None,
        unsaved: Mapping[Path, SourceFile] | None = None,
    ) -> Request:
        """What to repair; see `Request`."""
        from coe_lsp.repair.request import Request

        return Request(
            way,
            source,
            unsaved or {},
            options=self.project_options(),
            budget=self.budget,
            samples=self.samples,
        )

    def project_options(self) -> ProjectOptions:
        """How a project's tests are to be run."""
        from coe_lsp.execution.project import ProjectOptions

        return ProjectOptions(
            self.tests, self.python, self.sandbox, self.env, self.show, self.test_timeout
        )

    def model_options(self, seed: int = 0) -> ModelOptions:
        """Which weights to use."""
        from coe_lsp.repair.policy.loading import ModelOptions

        return ModelOptions(self.model, self.adapter, self.samples, seed, second=self.second_model)


RULES: tuple[tuple[str, Rule, Any], ...] = tuple(
    (attribute.name, attribute.metadata["rule"], attribute.default)
    for attribute in attrs.fields(Settings)
)
"""Each setting's attribute, rule and default."""


def read_settings(
    layers: Sequence[tuple[str, object]], project: tuple[str, object] | None = None
) -> tuple[Settings, tuple[str, ...]]:
    """Settings from named layers, the first that has a value winning; and what was wrong.

    The `project`'s comes last, and may hold only what a project may set.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    mine = [(where, layer, False) for where, layer in layers]
    for where, layer, foreign in (*mine, *([(*project, True)] if project else [])):
        if layer is None:
            continue
        if not isinstance(layer, Mapping):
            problems.append(f"{where}: the settings of coe are a table of names and values.")
            continue
        entries = cast("Mapping[str, object]", layer)
        known = {rule.name for _, rule, _ in RULES}
        for name in entries:
            if name not in known:
                problems.append(f"{where}: there is no setting coe.{_short(str(name))}.")
        for attribute, rule, default in RULES:
            value = entries.get(rule.name)
            # An empty box of a settings page.
            unset = value is None or (value == "" and default is None)
            if unset or attribute in values:
                continue
            if foreign and not rule.project:
                problems.append(
                    f"{where}: coe.{rule.name} is yours to set, not the project's: in your "
                    "editor's settings or on the command line."
                )
            elif rule.fits(value):
                values[attribute] = (
                    tuple(cast("list[str]", value)) if rule.kind == "strings" else value
                )
            else:
                problems.append(
                    f"{where}: coe.{rule.name} is {_shown(value)}, but takes {rule.accepted}."
                )
    return Settings(**values), tuple(problems)


def _shown(value: object) -> str:
    try:
        return _short(repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, lists without end
        return f"a {type(value).__name__} that is too long to show"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def project_layer(root: Path) -> object:
    """`[tool.coe]` of a project, or None. CoeError if the file cannot be read as TOML."""
    path = root / "pyproject.toml"
    try:
        data = parse_toml(read_text_bounded(path, MOST_SETTINGS))
    except (OSError, UnicodeDecodeError):
        return None
    except ValueError as error:  # also numbers of thousands of digits
        raise CoeError(f"{path} is not TOML: {_short(str(error))}.") from error
    tools = data.get("tool")
    return cast("dict[str, object]", tools).get("coe") if isinstance(tools, dict) else None


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for _, rule, default in RULES:
        shown = (
            ""
            if default is None or default == ()
            else f"`{default:g}`"
            if isinstance(default, float)
            else f"`{default}`"
        )
        choices = f" ({', '.join(f'`{c}`' for c in rule.choices)})" if rule.choices else ""
        rows.append(f"| `coe.{rule.name}` | {shown} | {rule.text}{choices} |")
    return "\n".join(rows) + "\n"
