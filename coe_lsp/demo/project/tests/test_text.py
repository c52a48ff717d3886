import pytest

from stockroom.text import receipt_line, slugify, title_case, truncate, wrap


class TestSlugify:
    @pytest.mark.parametrize(
        ("title", "slug"),
        [
            ("Hello, World!", "hello-world"),
            ("  50 m  Rope (blue) ", "50-m-rope-blue"),
            ("Crème brûlée", "creme-brulee"),
            ("***", ""),
        ],
    )
    def test_words(self, title, slug):
        assert slugify(title) == slug

    def test_exact_length_is_kept(self):
        assert slugify("garden hose", max_length=11) == "garden-hose"

    def test_long_titles_are_cut(self):
        assert slugify("garden hose", max_length=9) == "garden-ho"
        assert slugify("x" * 60) == "x" * 40

    def test_never_ends_in_a_dash(self):
        assert slugify("garden hose", max_length=7) == "garden"


class TestWrap:
    def test_short_text_is_one_line(self):
        assert wrap("two words", 20) == ["two words"]
        assert wrap("   ", 20) == []

    def test_a_line_may_be_full(self):
        assert wrap("aaa bbb ccc", 7) == ["aaa bbb", "ccc"]
        assert wrap("aaa bbb", 6) == ["aaa", "bbb"]

    def test_no_line_is_too_long(self):
        lines = wrap("keep this side up and store in a dry place", 12)
        assert lines == ["keep this", "side up and", "store in a", "dry place"]

    def test_no_word_is_lost(self):
        text = "one two three four five six seven eight"
        for width in (5, 9, 14, 30):
            assert " ".join(wrap(text, width)) == text

    def test_long_word_has_its_own_line(self):
        assert wrap("an extraordinarily long word", 8) == ["an", "extraordinarily", "long", "word"]


class TestTruncate:
    def test_short_text_is_kept(self):
        assert truncate("bolt", 10) == "bolt"
        assert truncate("exactly 10", 10) == "exactly 10"

    def test_ellipsis_counts(self):
        assert truncate("stainless steel bolt", 12) == "stainless..."
        assert truncate("stainless steel bolt", 14, "~") == "stainless ste~"

    def test_no_space_before_the_ellipsis(self):
        assert truncate("stainless steel bolt", 13) == "stainless..."

    def test_limit_too_small(self):
        with pytest.raises(ValueError, match="at least 3"):
            truncate("bolt", 2)


class TestTitleCase:
    def test_small_words_stay_small(self):
        assert title_case("the lord of the rings") == "The Lord of the Rings"
        assert title_case("NUTS AND BOLTS") == "Nuts and Bolts"

    def test_first_and_last_word(self):
        assert title_case("what is it for") == "What Is It For"
        assert title_case("") == ""


class TestReceiptLine:
    def test_fills_the_width(self):
        assert receipt_line("Bolt", "1.20", 16) == "Bolt ...... 1.20"
        assert len(receipt_line("Stainless steel bolt, 40 mm, galvanised", "12.00")) == 32
