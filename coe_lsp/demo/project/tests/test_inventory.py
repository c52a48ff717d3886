import pytest

from stockroom.inventory import StockError, StockLevel


class TestStockLevel:
    def test_available(self):
        assert StockLevel().available == 0
        assert StockLevel(on_hand=8, reserved=3).available == 5

    @pytest.mark.parametrize(("on_hand", "order"), [(9, 0), (6, 0), (5, 15), (0, 20)])
    def test_reorder_quantity(self, on_hand, order):
        assert StockLevel(on_hand, reorder_point=5, target=20).reorder_quantity() == order

    def test_reservations_count_against_the_stock(self):
        level = StockLevel(on_hand=9, reserved=6, reorder_point=5, target=20)
        assert level.reorder_quantity() == 17


class TestArticles:
    def test_unknown(self, warehouse):
        with pytest.raises(StockError, match="unknown article 'screw'"):
            warehouse.level("screw")

    def test_added_twice(self, warehouse):
        with pytest.raises(StockError, match="exists already"):
            warehouse.add_article("bolt")

    def test_receive(self, warehouse):
        warehouse.receive("bolt", 5)
        assert warehouse.level("bolt").on_hand == 15
        with pytest.raises(StockError):
            warehouse.receive("bolt", 0)


class TestReserve:
    def test_returns_what_is_left(self, warehouse):
        assert warehouse.reserve("bolt", 4) == 6
        assert warehouse.reserve("bolt", 1) == 5
        assert warehouse.level("bolt").on_hand == 10

    def test_the_last_piece(self, warehouse):
        assert warehouse.reserve("bolt", 10) == 0
        assert warehouse.level("bolt").reserved == 10

    def test_too_many(self, warehouse):
        with pytest.raises(StockError, match="only 5 of 'nut' available"):
            warehouse.reserve("nut", 6)
        assert warehouse.level("nut").reserved == 0

    def test_nothing_there(self, warehouse):
        with pytest.raises(StockError, match="only 0"):
            warehouse.reserve("washer", 1)


class TestRelease:
    def test_part(self, warehouse):
        warehouse.reserve("bolt", 6)
        warehouse.release("bolt", 2)
        assert warehouse.level("bolt").reserved == 4
        assert warehouse.level("bolt").on_hand == 10

    def test_more_than_reserved(self, warehouse):
        warehouse.reserve("bolt", 2)
        with pytest.raises(StockError, match="only 2"):
            warehouse.release("bolt", 3)


class TestShip:
    def test_leaves_the_shelf_and_the_reservation(self, warehouse):
        warehouse.reserve("bolt", 4)
        warehouse.ship("bolt", 3)
        level = warehouse.level("bolt")
        assert level.on_hand == 7
        assert level.reserved == 1
        assert level.available == 6

    def test_cannot_ship_the_same_reservation_twice(self, warehouse):
        warehouse.reserve("nut", 2)
        warehouse.ship("nut", 2)
        with pytest.raises(StockError, match="reserve 'nut'"):
            warehouse.ship("nut", 1)

    def test_needs_a_reservation(self, warehouse):
        with pytest.raises(StockError, match="before shipping"):
            warehouse.ship("bolt", 1)
        assert warehouse.level("bolt").on_hand == 10

    def test_is_written_down(self, warehouse):
        warehouse.reserve("bolt", 3)
        warehouse.ship("bolt", 1)
        warehouse.ship("bolt", 2)
        assert warehouse.shipments == [("bolt", 1), ("bolt", 2)]


class TestReorderList:
    def test_only_what_runs_low(self, warehouse):
        assert warehouse.reorder_list() == {"nut": 7}

    def test_sorted_by_article(self, warehouse):
        warehouse.reserve("bolt", 8)
        assert list(warehouse.reorder_list().items()) == [("bolt", 18), ("nut", 7)]
