"""Readers for the text of settings: each takes a string and returns a value, or raises ValueError.

The error says what is allowed; the caller adds the setting's name and the faulty value.
"""

import ipaddress
import itertools
import math
import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

_DURATION: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_SHARE: Final = re.compile(r"\d+(\.\d+)?(e-?\d+)?", re.ASCII | re.IGNORECASE)
_RATE: Final = re.compile(r"(\d{1,9})\s*/\s*([smh])", re.ASCII)
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class Rate(NamedTuple):
    """So many events in so many seconds."""

    number: int
    seconds: float

    def __str__(self) -> str:
        """`100/s`, as it is read."""
        unit = next(unit for unit, seconds in _DURATION.items() if unit and seconds == self.seconds)
        return f"{self.number}/{unit}"


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


def share(text: str) -> float:
    """Read a share: a number from 0 to 1."""
    if not _SHARE.fullmatch(text.strip()) or not 0 <= float(text) <= 1:
        raise ValueError("a number from 0 to 1, such as 0.01")
    return float(text)


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


def text(text: str) -> str:
    """Read any text, without the space around it."""
    return text.strip()


def path(text: str) -> str:
    """Read a path without the slash at its end; / is none."""
    found = text.strip().rstrip("/")
    if found and not _PATH.fullmatch(found):
        raise ValueError("a path such as /answers, of letters, digits and . _ ~ -, or / for none")
    return found


def origins(text: str) -> tuple[str, ...]:
    """Read web origins, separated by commas."""
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not all(part == "*" or _ORIGIN.fullmatch(part) for part in found):
        raise ValueError("origins such as https://example.org or http://localhost:3000, separated by commas, or *")
    return found


def buckets(text: str) -> tuple[float, ...]:
    """Read rising durations, in seconds."""
    allowed = "1 to 40 rising durations separated by commas, such as 5ms,50ms,250ms,1s"
    try:
        edges = tuple(duration()(part) for part in text.split(","))
    except ValueError:
        raise ValueError(allowed) from None
    if not 1 <= len(edges) <= 40 or edges[0] <= 0 or any(b <= a for a, b in itertools.pairwise(edges)):
        raise ValueError(allowed)
    return edges


def rate(text: str) -> Rate:
    """Read `100/s`, `1000/m` or `5000/h`."""
    found = _RATE.fullmatch(text.strip())
    if not found or int(found[1]) == 0:
        raise ValueError("a rate such as 100/s, 1000/m or 5000/h")
    return Rate(int(found[1]), _DURATION[found[2]])


def networks(text: str) -> tuple[str, ...]:
    """Read IP networks in CIDR notation, or single addresses, separated by commas; all are returned as CIDR."""
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "networks such as 10.0.0.0/8 or 2001:db8::/32 without host bits, or addresses, separated by commas"
        ) from None


def auto_or_whole(low: int, high: int) -> Callable[[str], int | Literal["auto"]]:
    """Reader for `auto`, or a whole number from `low` to `high`."""
    read_whole = whole(low, high)

    def read(text: str) -> int | Literal["auto"]:
        if text.strip().lower() == "auto":
            return "auto"
        try:
            return read_whole(text)
        except ValueError as fault:
            raise ValueError(f"auto, or {fault}") from None

    return read
