"""Readers for the text of settings: each takes a string and returns a value, or raises ValueError.

The error says what is allowed; the caller adds the setting's name and the faulty value.
"""

import math
import re
from collections.abc import Callable
from typing import Final

_DURATION: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def _scaled(text: str, units: dict[str, float] | dict[str, int], allowed: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    if not found or found[2] not in units:
        raise ValueError(allowed)
    return float(found[1]) * units[found[2]]


def duration(low: float = 0.0, high: float = math.inf) -> Callable[[str], float]:
    """Reader for a duration in seconds: `500ms`, `10s`, `2m`, `1h`, or a number of seconds, from `low` to `high`."""
    bound = f", at least {low:g}s" if low else ""
    bound += f", at most {high:g}s" if high < math.inf else ""
    allowed = f"a duration such as 500ms, 10s, 2m or a number of seconds{bound}"

    def read(text: str) -> float:
        value = _scaled(text, _DURATION, allowed)
        if not low <= value <= high or math.isinf(value):
            raise ValueError(allowed)
        return value

    return read


def size(low: int = 0, high: int = 1 << 40) -> Callable[[str], int]:
    """Reader for a size in bytes: `64KiB`, `1MiB`, `1GiB` or a number of bytes, from `low` to `high`."""
    allowed = f"a size such as 64KiB, 1MiB or a number of bytes, from {low} to {high}"

    def read(text: str) -> int:
        value = _scaled(text, _SIZE, allowed)
        if not low <= value <= high or value != int(value):
            raise ValueError(allowed)
        return int(value)

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reader for a whole number from `low` to `high`."""
    allowed = f"a whole number from {low} to {high}"

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII) or not low <= int(text) <= high:
            raise ValueError(allowed)
        return int(text)

    return read


def choice(*words: str) -> Callable[[str], str]:
    """Reader for one word of a list, in any case."""

    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError("one of " + ", ".join(words))
        return text.strip().lower()

    return read


def boolean(text: str) -> bool:
    """Read true, yes, on or 1 as True; false, no, off or 0 as False; in any case."""
    word = text.strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("true or false")
