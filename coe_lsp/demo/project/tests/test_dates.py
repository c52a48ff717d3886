from datetime import date

import pytest

from stockroom.dates import (
    add_business_days,
    business_days_between,
    days_overdue,
    is_business_day,
    iso_week_label,
    month_end,
    quarter_bounds,
    quarter_of,
)

EASTER_MONDAY = date(2024, 4, 1)


class TestBusinessDay:
    def test_weekdays_and_weekend(self):
        week = [is_business_day(date(2024, 3, day)) for day in range(4, 11)]
        assert week == [True] * 5 + [False] * 2

    def test_holiday(self):
        assert is_business_day(EASTER_MONDAY)
        assert not is_business_day(EASTER_MONDAY, {EASTER_MONDAY})


class TestAddBusinessDays:
    def test_within_a_week(self):
        assert add_business_days(date(2024, 3, 4), 1) == date(2024, 3, 5)
        assert add_business_days(date(2024, 3, 4), 4) == date(2024, 3, 8)

    def test_over_the_weekend(self):
        assert add_business_days(date(2024, 3, 8), 1) == date(2024, 3, 11)
        assert add_business_days(date(2024, 3, 9), 1) == date(2024, 3, 11)
        assert add_business_days(date(2024, 3, 6), 10) == date(2024, 3, 20)

    def test_backwards(self):
        assert add_business_days(date(2024, 3, 11), -1) == date(2024, 3, 8)

    def test_zero_stays(self):
        assert add_business_days(date(2024, 3, 9), 0) == date(2024, 3, 9)

    def test_holiday_is_skipped(self):
        assert add_business_days(date(2024, 3, 29), 1, {EASTER_MONDAY}) == date(2024, 4, 2)


class TestBusinessDaysBetween:
    def test_end_does_not_count(self):
        assert business_days_between(date(2024, 3, 4), date(2024, 3, 8)) == 4
        assert business_days_between(date(2024, 3, 4), date(2024, 3, 4)) == 0

    def test_weekend_and_holiday_do_not_count(self):
        assert business_days_between(date(2024, 3, 29), date(2024, 4, 3)) == 3
        assert business_days_between(date(2024, 3, 29), date(2024, 4, 3), {EASTER_MONDAY}) == 2


class TestQuarters:
    @pytest.mark.parametrize(
        ("month", "quarter"), [(1, 1), (3, 1), (4, 2), (6, 2), (9, 3), (10, 4), (12, 4)]
    )
    def test_quarter_of(self, month, quarter):
        assert quarter_of(date(2024, month, 15)) == quarter


class TestQuarterBounds:
    def test_first_quarter(self):
        assert quarter_bounds(date(2024, 2, 29)) == (date(2024, 1, 1), date(2024, 3, 31))

    def test_middle_quarters(self):
        assert quarter_bounds(date(2024, 4, 1)) == (date(2024, 4, 1), date(2024, 6, 30))
        assert quarter_bounds(date(2023, 9, 30)) == (date(2023, 7, 1), date(2023, 9, 30))

    def test_last_quarter_ends_with_the_year(self):
        assert quarter_bounds(date(2024, 11, 5)) == (date(2024, 10, 1), date(2024, 12, 31))


class TestIsoWeekLabel:
    def test_ordinary_weeks(self):
        assert iso_week_label(date(2024, 7, 1)) == "2024-W27"
        assert iso_week_label(date(2024, 2, 29)) == "2024-W09"

    def test_january_in_the_old_year(self):
        assert iso_week_label(date(2023, 1, 1)) == "2022-W52"
        assert iso_week_label(date(2021, 1, 3)) == "2020-W53"

    def test_december_in_the_new_year(self):
        assert iso_week_label(date(2024, 12, 30)) == "2025-W01"


class TestInvoices:
    def test_month_end(self):
        assert month_end(date(2024, 2, 1)) == date(2024, 2, 29)
        assert month_end(date(2023, 2, 28)) == date(2023, 2, 28)
        assert month_end(date(2024, 12, 31)) == date(2024, 12, 31)

    def test_days_overdue(self):
        assert days_overdue(date(2024, 3, 1), date(2024, 3, 11)) == 10
        assert days_overdue(date(2024, 3, 1), date(2024, 3, 11), grace=7) == 3
        assert days_overdue(date(2024, 3, 1), date(2024, 2, 1)) == 0
