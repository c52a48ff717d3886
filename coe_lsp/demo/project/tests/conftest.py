import pytest

from stockroom.inventory import Warehouse


@pytest.fixture
def warehouse() -> Warehouse:
    """A warehouse with ten bolts, five nuts and no washers."""
    warehouse = Warehouse()
    warehouse.add_article("bolt", reorder_point=4, target=20)
    warehouse.add_article("nut", reorder_point=5, target=12)
    warehouse.add_article("washer")
    warehouse.receive("bolt", 10)
    warehouse.receive("nut", 5)
    return warehouse
