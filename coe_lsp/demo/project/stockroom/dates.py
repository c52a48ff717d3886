"""Calendar arithmetic for deliveries, invoices and reports."""

from collections.abc import Collection
from datetime import date, timedelta


def is_business_day(day: date, holidays: Collection[date] = ()) -> bool:
    """Say whether ``day`` is a Monday to Friday that is not a holiday."""
    return day.weekday() < 5 and day not in holidays


def add_business_days(day: date, count: int, holidays: Collection[date] = ()) -> date:
    """Return the date ``count`` business days after ``day`` (before it if negative)."""
    step = timedelta(days=1 if count >= 0 else -1)
    remaining = abs(count)
    while remaining > 0:
        day += step
        if not is_business_day(day, holidays):
            remaining -= 1
    return day


def business_days_between(start: date, end: date, holidays: Collection[date] = ()) -> int:
    """Count the business days from ``start`` up to, but not including, ``end``."""
    days = (start + timedelta(days=offset) for offset in range((end - start).days))
    return sum(is_business_day(day, holidays) for day in days)


def quarter_of(day: date) -> int:
    """Return the calendar quarter, 1 to 4."""
    return (day.month - 1) // 3 + 1


def quarter_bounds(day: date) -> tuple[date, date]:
    """Return the first and the last day of the quarter that contains ``day``."""
    first_month = 3 * (quarter_of(day) - 1) + 1
    first = date(day.year, 1, first_month)
    if first_month == 10:
        following = date(day.year + 1, 1, 1)
    else:
        following = date(day.year, first_month + 3, 1)
    return first, following - timedelta(days=1)


def iso_week_label(day: date) -> str:
    """Return the ISO 8601 week, such as ``"2024-W09"``.

    The first days of January can belong to the last week of the year before, and the last
    days of December to the first week of the year after.
    """
    iso = day.isocalendar()
    return f"{day.year}-W{iso.week:02d}"


def month_end(day: date) -> date:
    """Return the last day of the month that contains ``day``."""
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return following - timedelta(days=1)


def days_overdue(due: date, today: date, grace: int = 0) -> int:
    """Return how many days an invoice is late, not counting ``grace`` days; never negative."""
    return max(0, (today - due).days - grace)
