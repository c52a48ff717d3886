"""The table of learned weights: that it is what the command writes, and what it adds."""

from coe_lsp.mutations.examples import EXAMPLES
from coe_lsp.mutations.weights import TABLE, Weights


def test_the_table_is_about_kinds_that_there_are():
    text = TABLE.read_text(encoding="utf-8")
    weights = Weights.loads(text)
    assert weights.dumps() == text
    assert weights.by_kind.keys() >= weights.by_class.keys()
    assert weights.by_kind.keys() <= EXAMPLES.keys()


def test_what_is_added_to_a_guess():
    weights = Weights({"truth": 0.5}, {"truth": {-0.6: 1.0}})
    assert weights.of("truth", -0.6) == -0.6 + 0.5 + 1.0
    assert weights.of("truth", -2.2) == -2.2 + 0.5
    assert weights.of("default", -2.2) == -2.2
    assert Weights.loads(weights.dumps()) == weights
