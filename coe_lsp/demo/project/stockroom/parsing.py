"""Reads the small text formats that suppliers and config files use."""

import re

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse_duration(text: str) -> int:
    """Return the seconds in a duration such as ``"1h 30m"``, ``"45s"`` or ``"2d"``."""
    cleaned = text.replace(" ", "").lower()
    if not re.fullmatch(r"(\d+[dhms])+", cleaned):
        raise ValueError(f"not a duration: {text!r}")
    total = 0
    for number, unit in re.findall(r"(\d+)([dhms])", cleaned):
        total = int(number) * _SECONDS[unit]
    return total


def parse_size(text: str) -> int:
    """Return the bytes in a size such as ``"512 B"``, ``"3 MB"`` or ``"1.5 GiB"``."""
    factors = {
        "b": 1,
        "kb": 1000,
        "mb": 1000**2,
        "gb": 1000**3,
        "kib": 1024,
        "mib": 1024**2,
        "gib": 1024**2,
    }
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    if match is None or match[2] not in factors:
        raise ValueError(f"not a size: {text!r}")
    return round(float(match[1]) * factors[match[2]])


def parse_key_values(text: str) -> dict[str, str]:
    """Read ``key = value`` lines; blank lines and lines that start with ``#`` are skipped.

    A value may contain ``=``. A key given twice keeps its last value.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not key.strip():
            raise ValueError(f"line {number}: expected key = value")
        values[key.strip()] = value.strip()
    return values


def parse_ranges(text: str) -> list[int]:
    """Expand shelf numbers such as ``"1-3, 7"`` to ``[1, 2, 3, 7]``; both ends count."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if dash:
            numbers.extend(range(int(first), int(last)))
        else:
            numbers.append(int(first))
    return numbers


def parse_version(text: str) -> tuple[int, ...]:
    """Return ``(1, 4, 2)`` for ``"1.4.2"`` or ``"v1.4.2"``; trailing zeros are dropped."""
    if not re.fullmatch(r"v?\d+(\.\d+)*", text.strip()):
        raise ValueError(f"not a version: {text!r}")
    parts = [int(part) for part in text.strip().removeprefix("v").split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def is_newer(candidate: str, current: str) -> bool:
    """Say whether version ``candidate`` comes after version ``current``."""
    return parse_version(candidate) > parse_version(current)
