"""Settings: layers, wrong values, and one table for docs, VS Code and the server."""

import json
from pathlib import Path

import pytest

from coe_lsp.errors import CoeError
from coe_lsp.settings import RULES, Settings, project_layer, read_settings, table

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "editors/vscode/package.json"


def test_the_first_layer_that_has_a_value_wins():
    settings, problems = read_settings(
        [
            ("one", {"budget": 5, "python": None}),
            ("two", None),
            ("three", {"budget": 9, "python": "p"}),
        ]
    )
    assert (settings.budget, settings.python, problems) == (5, "p", ())
    assert settings.samples == Settings().samples


def test_an_empty_box_of_a_settings_page_is_no_value():
    settings, problems = read_settings(
        [("one", {"python": "", "model": ""}), ("two", {"model": "m"})]
    )
    assert (settings.python, settings.model, problems) == (None, "m", ())
    _, problems = read_settings([("one", {"sandbox": ""})])
    assert problems == ("one: coe.sandbox is '', but takes one of auto, off.",)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"samples": 65}, "x: coe.samples is 65, but takes a whole number from 1 to 64."),
        ({"samples": True}, "x: coe.samples is True, but takes a whole number from 1 to 64."),
        ({"samples": 2.5}, "x: coe.samples is 2.5, but takes a whole number from 1 to 64."),
        ({"tests": "a"}, "x: coe.tests is 'a', but takes a list of strings."),
        ({"tests": [1]}, "x: coe.tests is [1], but takes a list of strings."),
        ({"sandbox": "on"}, "x: coe.sandbox is 'on', but takes one of auto, off."),
        ({"testTimeout": 0}, "x: coe.testTimeout is 0, but takes a number from 0.1 to 3600."),
        ({"model": 3}, "x: coe.model is 3, but takes a string."),
        ({"colour": "red"}, "x: there is no setting coe.colour."),
        ([], "x: the settings of coe are a table of names and values."),
    ],
)
def test_a_wrong_value_is_named_and_the_default_kept(given, problem):
    settings, problems = read_settings([("x", given)])
    assert problems == (problem,)
    assert settings == Settings()


def test_project_layer(tmp_path):
    assert project_layer(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool.coe]\nbudget = 3\n")
    assert project_layer(tmp_path) == {"budget": 3}
    (tmp_path / "pyproject.toml").write_text("[tool\n")
    with pytest.raises(CoeError, match="is not TOML"):
        project_layer(tmp_path)


def test_there_are_few_and_all_are_described():
    assert len(RULES) < 16
    for _, rule, default in RULES:
        assert rule.text.endswith(".")
        value = list(default) if isinstance(default, tuple) else default
        assert value is None or rule.fits(value)


def test_the_documentation_has_this_table():
    text = (ROOT / "docs/editors.md").read_text()
    _, _, rest = text.partition("<!-- settings: made by coe_lsp.settings.table() -->\n")
    assert rest.partition("<!-- end of settings -->")[0] == table()


@pytest.mark.skipif(not PACKAGE.exists(), reason="there is no VS Code extension here")
def test_vs_code_has_the_same_settings():
    properties = json.loads(PACKAGE.read_text())["contributes"]["configuration"]["properties"]
    texts = json.loads(PACKAGE.with_name("package.nls.json").read_text())
    names = [f"coe.{rule.name}" for _, rule, _ in RULES]
    own = ["coe.enable", "coe.serverPath", "coe.showNotifications", "coe.trace.server"]
    assert list(properties) == [*own, *names]
    kinds = {"strings": "array"}
    for _, rule, default in RULES:
        entry = properties[f"coe.{rule.name}"]
        # One type each: VS Code has a box for those alone.
        assert entry["type"] == kinds.get(rule.kind, rule.kind), rule.name
        assert tuple(entry.get("enum", ())) == rule.choices, rule.name
        assert entry.get("minimum") == rule.low, rule.name
        assert entry.get("maximum") == rule.high, rule.name
        wanted = list(default) if isinstance(default, tuple) else default
        assert entry["default"] == ("" if wanted is None else wanted), rule.name
        assert texts[entry["markdownDescription"].strip("%")] == rule.text, rule.name
