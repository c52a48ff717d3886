"""The most that can be won by buying once and selling once later."""


def best_profit(prices):
    cheapest = float("inf")
    best = 0
    for price in prices:
        cheapest = min(cheapest, price)
        best = max(best, price - cheapest)
    return best


RIGHT = "best = max(best, price - cheapest)"
WRONG = "best = max(best, cheapest - price)"
TESTS = """
best_profit([7, 1, 5, 3, 6, 4]) == 5
best_profit([5, 4, 3]) == 0
best_profit([]) == 0
best_profit([1, 2]) == 1
"""
