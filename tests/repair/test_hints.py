"""What a search is told of the tests that failed: what variables held, in its function alone."""

from red_tests import repair

from coe_lsp.repair.target import hints

ADDRESS = """
    class Address:
        def __init__(self, street, country=None):
            self.street = street
            self.country = country


    def label(address, width, sign="-"):
        line, country = address.street.ljust(width, sign), address.country
        return line + country.upper()


    def labels(addresses, width):
        return [label(address, width) for address in addresses]
"""
TESTS = """
    from address import Address, label, labels


    def test_label():
        assert label(Address("Elm 1", "de"), 6) == "Elm 1-DE"


    def test_no_country():
        assert label(Address("Elm 1"), 6) == "Elm 1-"


    def test_labels():
        assert labels([Address("Elm 1"), Address("Elm 2", "fr")], 6) == ["Elm 1-", "Elm 2-FR"]
"""


def test_what_was_none_where_it_failed_is_a_clue(project, monkeypatch):
    seen = []

    def read(details, constants, values):
        seen.append((details, dict(values)))
        return hints.read_clues(details, constants, values)

    monkeypatch.setattr("coe_lsp.repair.site.read_clues", read)
    root = project({"address.py": ADDRESS, "test_address.py": TESTS})
    outcome, _ = repair(root, "test_address.py")
    assert outcome.status == "repaired", outcome.message
    (details, values), *_ = [entry for entry in seen if entry[1]]
    assert "AttributeError" in details[0]
    assert values == {
        "address": "<Address>",
        "width": "6",
        "sign": "'-'",
        "line": "'Elm 1-'",
        "country": "None",
    }
