"""Whose repair of several is told: that of the place which explains most of what fails."""

from red_tests import repair

# Any of the failing tests of `middle` and `last` can be made to pass in those functions themselves.
LISTS = {
    "lists.py": """
        def half(number):
            whole = abs(number)
            if whole < 0:
                whole = 0
            if number < 0:
                return -(whole // 2)
            return whole // 2 + 1


        def middle(items):
            return items[half(len(items))]


        def last(items):
            return items[2 * half(len(items) - 1)]
    """,
    "tests/test_lists.py": """
        from lists import half, last, middle


        def test_middle():
            assert middle("abc") == "b"
            assert middle("abcde") == "c"


        def test_last():
            assert last("abc") == "c"
            assert last("abcde") == "e"


        def test_half():
            assert half(-4) == -2
            assert half(0) == 0
            assert half(6) == 3
            assert half(7) == 3
    """,
}


def test_a_caller_is_not_bent_to_its_own_test(project):
    root = project(LISTS)
    outcome, _ = repair(root, "tests/test_lists.py", budget=60.0)
    assert outcome.status == "repaired", outcome.message
    assert outcome.function == "half"
    text = outcome.repaired["lists.py"].text
    assert "items[half(len(items))]" in text
    assert "items[2 * half(len(items) - 1)]" in text


# What `footer` shows can be put right in `footer` itself.
PAGES = {
    "pages.py": """
        def page_count(items, size):
            return len(items) // size


        def footer(items, size, page):
            return f"{page} of {page_count(items, size)}"
    """,
    "tests/test_pages.py": """
        from pages import footer, page_count


        def test_footer():
            assert footer("abcdefghijk", 5, 1) == "1 of 3"


        def test_page_count():
            assert page_count("abcdefghijk", 5) == 3
            assert page_count("a", 5) == 1
    """,
}


def test_a_red_test_that_was_not_named_says_what_explains_more(project):
    root = project(PAGES)
    outcome, _ = repair(root, "tests/test_pages.py::test_footer", budget=60.0, candidates=100)
    assert outcome.status == "repaired", outcome.message
    assert outcome.function == "page_count"
    assert "Not named" not in outcome.message, outcome.message
