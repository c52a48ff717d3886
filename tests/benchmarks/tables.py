"""Markdown tables, and numbers as they stand in them."""

from __future__ import annotations


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def decimal(value, digits=1):
    """A number with so many decimals; nothing for None."""
    return "" if value is None else f"{value:.{digits}f}"


def significant(value):
    """A number with two significant digits, never as a power of ten."""
    return f"{float(f'{value:.2g}'):g}"
