"""How much rain stays between walls of these heights."""


def trapped_water(heights):
    left, right = 0, len(heights) - 1
    highest_left = highest_right = 0
    water = 0
    while left < right:
        if heights[left] < heights[right]:
            highest_left = max(highest_left, heights[left])
            water += highest_left - heights[left]
            left += 1
        else:
            highest_right = max(highest_right, heights[right])
            water += highest_right - heights[right]
            right -= 1
    return water


RIGHT = "highest_right = max(highest_right, heights[right])"
WRONG = "highest_right = max(highest_left, heights[right])"
TESTS = """
trapped_water([0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1]) == 6
trapped_water([4, 2, 0, 3, 2, 5]) == 9
trapped_water([]) == 0
trapped_water([3, 0, 2]) == 2
trapped_water([5, 1, 2, 1, 3, 0, 1]) == 6
"""
