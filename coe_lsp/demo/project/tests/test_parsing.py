import pytest

from stockroom.parsing import (
    is_newer,
    parse_duration,
    parse_key_values,
    parse_ranges,
    parse_size,
    parse_version,
)


class TestParseDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("45s", 45), ("10m", 600), ("2h", 7200), ("1d", 86400)]
    )
    def test_single_unit(self, text, seconds):
        assert parse_duration(text) == seconds

    def test_units_add_up(self):
        assert parse_duration("1h30m") == 5400
        assert parse_duration("1d2h") == 93600
        assert parse_duration("1m1s") == 61

    def test_spaces_and_capitals(self):
        assert parse_duration("1H 30M") == 5400
        assert parse_duration(" 20 s ") == 20

    @pytest.mark.parametrize("text", ["", "90", "h", "1w", "1h-30m"])
    def test_rejects_anything_else(self, text):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


class TestParseSize:
    def test_bytes(self):
        assert parse_size("0 B") == 0
        assert parse_size("512b") == 512

    def test_decimal_units(self):
        assert parse_size("2 kB") == 2000
        assert parse_size("3 MB") == 3_000_000
        assert parse_size("1.5 GB") == 1_500_000_000

    def test_binary_units(self):
        assert parse_size("2 KiB") == 2048
        assert parse_size("1 MiB") == 1_048_576
        assert parse_size("1 GiB") == 1_073_741_824
        assert parse_size("0.5 GiB") == 536_870_912

    @pytest.mark.parametrize("text", ["", "12", "12 parsecs", "-1 kB"])
    def test_rejects_anything_else(self, text):
        with pytest.raises(ValueError, match="not a size"):
            parse_size(text)


class TestParseKeyValues:
    def test_strips_both_sides(self):
        assert parse_key_values("name = Anna\n  city=Turin  ") == {"name": "Anna", "city": "Turin"}

    def test_skips_comments_and_blank_lines(self):
        assert parse_key_values("# printer\n\nport = 9100\n") == {"port": "9100"}
        assert parse_key_values("") == {}

    def test_value_may_contain_the_separator(self):
        assert parse_key_values("query = a=1&b=2") == {"query": "a=1&b=2"}

    def test_last_value_wins(self):
        assert parse_key_values("copies = 1\ncopies = 3") == {"copies": "3"}

    def test_error_names_the_line(self):
        with pytest.raises(ValueError, match="line 2"):
            parse_key_values("copies = 1\ncolour")


class TestParseRanges:
    def test_single_numbers(self):
        assert parse_ranges("7") == [7]
        assert parse_ranges("4, 2, 9") == [4, 2, 9]

    def test_both_ends_count(self):
        assert parse_ranges("1-3") == [1, 2, 3]
        assert parse_ranges("10-11") == [10, 11]

    def test_mixed(self):
        assert parse_ranges("1-3, 7, 9-10") == [1, 2, 3, 7, 9, 10]

    def test_range_of_one(self):
        assert parse_ranges("5-5") == [5]

    def test_rejects_words(self):
        with pytest.raises(ValueError):
            parse_ranges("1-x")


class TestVersions:
    def test_parse(self):
        assert parse_version("1.4.2") == (1, 4, 2)
        assert parse_version("v10.0.3") == (10, 0, 3)

    def test_trailing_zeros_do_not_matter(self):
        assert parse_version("2.0") == parse_version("2") == (2,)
        assert parse_version("0.0") == (0,)

    @pytest.mark.parametrize("text", ["", "1.", "one", "1.2-beta"])
    def test_rejects_anything_else(self, text):
        with pytest.raises(ValueError, match="not a version"):
            parse_version(text)

    def test_is_newer_compares_numbers(self):
        assert is_newer("1.10", "1.9")
        assert not is_newer("1.9", "1.10")
        assert not is_newer("1.2.0", "1.2")
