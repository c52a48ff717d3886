"""Small programs with a bug that several test files use, as text."""

CLAMP = """
    def clamp(value, low, high):
        if value < low:
            return low
        if value > high:
            return low
        return value
"""
# Too far from right for any single change.
HOPELESS = """
    def clamp(value, low, high):
        return NotImplemented
"""
TEST_CLAMP = """
    from ranges import clamp

    def test_low():
        assert clamp(-1, 0, 10) == 0

    def test_high():
        print("above")
        assert clamp(15, 0, 10) == 10

    def test_inside():
        assert clamp(5, 0, 10) == 5
"""
