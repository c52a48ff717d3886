"""The fewest coins that make up an amount; -1 if none do."""


def fewest_coins(coins, amount):
    fewest = [0] + [amount + 1] * amount
    for value in range(1, amount + 1):
        for coin in coins:
            if coin <= value:
                fewest[value] = min(fewest[value], fewest[value - coin] + 1)
    return fewest[amount] if fewest[amount] <= amount else -1


RIGHT = "fewest[value] = min(fewest[value], fewest[value - coin] + 1)"
WRONG = "fewest[value] = fewest[value - coin] + 1"
TESTS = """
fewest_coins([1, 2, 5], 11) == 3
fewest_coins([2], 3) == -1
fewest_coins([1], 0) == 0
fewest_coins([5, 1], 10) == 2
fewest_coins([4, 3, 1], 6) == 2
"""
