"""Stock levels, reservations and reordering for one warehouse."""

from dataclasses import dataclass


class StockError(ValueError):
    """Raised when stock cannot be reserved, released or shipped as asked."""


@dataclass
class StockLevel:
    """How much there is of one article, and when to order more."""

    on_hand: int = 0
    reserved: int = 0
    reorder_point: int = 0
    target: int = 0

    @property
    def available(self) -> int:
        """What is on the shelf and not promised to anyone."""
        return self.on_hand - self.reserved

    def reorder_quantity(self) -> int:
        """Return how many to order: up to the target once at or below the reorder point."""
        if self.available > self.reorder_point:
            return 0
        return max(0, self.target - self.available)


class Warehouse:
    """Keeps a stock level for every article, by its article number (SKU)."""

    def __init__(self) -> None:
        self._levels: dict[str, StockLevel] = {}
        self.shipments: list[tuple[str, int]] = []

    def level(self, sku: str) -> StockLevel:
        """Return the stock level of ``sku``."""
        if sku not in self._levels:
            raise StockError(f"unknown article {sku!r}")
        return self._levels[sku]

    def add_article(self, sku: str, reorder_point: int = 0, target: int = 0) -> None:
        """Start to keep ``sku``, with nothing on hand."""
        if sku in self._levels:
            raise StockError(f"article {sku!r} exists already")
        self._levels[sku] = StockLevel(reorder_point=reorder_point, target=target)

    def receive(self, sku: str, quantity: int) -> None:
        """Put a delivery on the shelf."""
        if quantity <= 0:
            raise StockError("a delivery holds at least one piece")
        self.level(sku).on_hand += quantity

    def reserve(self, sku: str, quantity: int) -> int:
        """Promise ``quantity`` pieces to a customer; return what is still available.

        Everything that is available may be reserved. If there is too little, nothing is
        reserved and StockError is raised.
        """
        level = self.level(sku)
        if quantity >= level.available:
            raise StockError(f"only {level.available} of {sku!r} available")
        level.reserved += quantity
        return level.available

    def release(self, sku: str, quantity: int) -> None:
        """Give up a reservation, or part of it."""
        level = self.level(sku)
        if quantity > level.reserved:
            raise StockError(f"only {level.reserved} of {sku!r} reserved")
        level.reserved -= quantity

    def ship(self, sku: str, quantity: int) -> None:
        """Send out ``quantity`` reserved pieces: they leave the shelf and the reservation."""
        level = self.level(sku)
        if quantity > level.reserved:
            raise StockError(f"reserve {sku!r} before shipping it")
        level.on_hand -= quantity
        self.shipments.append((sku, quantity))

    def reorder_list(self) -> dict[str, int]:
        """Return the pieces to order for each article that runs low, sorted by SKU."""
        orders = {sku: level.reorder_quantity() for sku, level in sorted(self._levels.items())}
        return {sku: quantity for sku, quantity in orders.items() if quantity > 0}
