"""Declaration of settings, and the readers that parse their text.

A reader takes a string and returns a value. It raises ValueError with a noun phrase for the accepted text ("a whole
number from 1 to 1024"); the caller adds the name of the setting, the value and "expected". Help, reference page and
chart schema are derived from the same phrase.
"""

import dataclasses
import ipaddress
import itertools
import math
import re
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from askd.rate import Rate

T = TypeVar("T")

_DURATION_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MAX_BUCKETS: Final = 40
_NUMBER_WITH_UNIT_PATTERN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_FRACTION_PATTERN: Final = re.compile(r"\d+(\.\d+)?(e-?\d+)?", re.ASCII | re.IGNORECASE)
_RATE_PATTERN: Final = re.compile(r"(\d{1,9})\s*/\s*([smh])", re.ASCII)
_PATH_PATTERN: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN_PATTERN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


def setting(default: T, read: Callable[[str], object], help: str, *, group: str, secret: bool = False) -> T:
    """Declare a setting as a dataclass field.

    Args:
        default: Value if neither the option nor the variable is set.
        read: Reader for the text of the option or variable.
        help: One sentence that says what the setting does, then unit, special values and the meaning of unset.
        group: Heading in the help.
        secret: Show the value as `***` in errors and logs.
    """
    return dataclasses.field(default=default, metadata=dict(read=read, help=help, group=group, secret=secret))


def _parse_with_unit(text: str, units: dict[str, float] | dict[str, int], accepted: str) -> float:
    match = _NUMBER_WITH_UNIT_PATTERN.fullmatch(text.strip())
    if not match or match[2] not in units:
        raise ValueError(accepted)
    return float(match[1]) * units[match[2]]


def duration(low: float = 0.0, high: float = math.inf) -> Callable[[str], float]:
    """Return a reader for durations from `low` to `high` seconds: `500ms`, `10s`, `2m`, `1h` or a number of seconds."""
    accepted = "a duration such as 500ms, 10s or 2m"
    accepted += f", at least {low:g}s" if low else ""
    accepted += f", at most {high:g}s" if high < math.inf else ""

    def read(text: str) -> float:
        value = _parse_with_unit(text, _DURATION_UNITS, accepted)
        if not low <= value <= high or math.isinf(value):
            raise ValueError(accepted)
        return value

    return read


def size(low: int = 0, high: int = 1 << 40) -> Callable[[str], int]:
    """Return a reader for sizes from `low` to `high` bytes: `64KiB`, `1MiB`, `1GiB` or a number of bytes."""
    accepted = f"a size such as 64KiB or 1MiB, from {low} to {high} bytes"

    def read(text: str) -> int:
        value = _parse_with_unit(text, _SIZE_UNITS, accepted)
        if not low <= value <= high or value != int(value):
            raise ValueError(accepted)
        return int(value)

    return read


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a reader for integers from `low` to `high`."""
    accepted = f"a whole number from {low} to {high}"

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII) or not low <= int(text) <= high:
            raise ValueError(accepted)
        return int(text)

    return read


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    if not _FRACTION_PATTERN.fullmatch(text.strip()) or not 0 <= float(text) <= 1:
        raise ValueError("a number from 0 to 1, such as 0.01")
    return float(text)


def choice(*words: str) -> Callable[[str], str]:
    """Return a reader for one of `words`, case-insensitive."""

    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError("one of " + ", ".join(words))
        return text.strip().lower()

    return read


def choices(*words: str) -> Callable[[str], tuple[str, ...]]:
    """Return a reader for one or more of `words`, separated by commas, case-insensitive."""

    def read(text: str) -> tuple[str, ...]:
        parts = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
        if not parts or not set(parts) <= set(words):
            raise ValueError(f"one or more of {', '.join(words)}, separated by commas")
        return parts

    return read


def boolean(text: str) -> bool:
    """Read true, yes, on or 1 as True and false, no, off or 0 as False, case-insensitive."""
    word = text.strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("true or false")


def string(text: str) -> str:
    """Read any text, without leading and trailing whitespace."""
    return text.strip()


def graph_memory(text: str) -> str:
    """Read `memory`, `sqlite:PATH`, or the URL of a Postgres database."""
    stripped = text.strip()
    is_url = stripped.startswith(("postgres://", "postgresql://"))
    is_file = stripped.startswith("sqlite:") and bool(stripped.removeprefix("sqlite:").strip("/"))
    if stripped != "memory" and not is_file and not is_url:
        raise ValueError("memory, sqlite:PATH or a URL such as postgresql://user:password@host/database")
    return stripped


def path(text: str) -> str:
    """Read a URL path, without the trailing slash; `/` becomes the empty path."""
    stripped = text.strip().rstrip("/")
    if stripped and not _PATH_PATTERN.fullmatch(stripped):
        raise ValueError("a path such as /answers, made of letters, digits and . _ ~ -, or / for the root")
    return stripped


def origins(text: str) -> tuple[str, ...]:
    """Read web origins, separated by commas."""
    parts = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not all(part == "*" or _ORIGIN_PATTERN.fullmatch(part) for part in parts):
        raise ValueError("origins such as https://example.org or http://localhost:3000, separated by commas, or *")
    return parts


def bucket_bounds(text: str) -> tuple[float, ...]:
    """Read 1 to 40 ascending durations, separated by commas."""
    accepted = f"1 to {_MAX_BUCKETS} ascending durations separated by commas, such as 5ms,50ms,250ms,1s"
    try:
        bounds = tuple(duration()(part) for part in text.split(","))
    except ValueError:
        raise ValueError(accepted) from None
    ascending = all(lower < upper for lower, upper in itertools.pairwise(bounds))
    if not 1 <= len(bounds) <= _MAX_BUCKETS or bounds[0] <= 0 or not ascending:
        raise ValueError(accepted)
    return bounds


def rate(text: str) -> Rate:
    """Read `100/s`, `1000/m` or `5000/h`."""
    match = _RATE_PATTERN.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise ValueError("a rate such as 100/s, 1000/m or 5000/h")
    return Rate(int(match[1]), _DURATION_UNITS[match[2]])


def networks(text: str) -> tuple[str, ...]:
    """Read IP networks in CIDR notation or single addresses, separated by commas. All are returned in CIDR notation."""
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "networks such as 10.0.0.0/8 or 2001:db8::/32 without host bits, or addresses, separated by commas"
        ) from None


def auto_or_integer(low: int, high: int) -> Callable[[str], int | Literal["auto"]]:
    """Return a reader for `auto` or an integer from `low` to `high`."""
    read_integer = integer(low, high)

    def read(text: str) -> int | Literal["auto"]:
        if text.strip().lower() == "auto":
            return "auto"
        try:
            return read_integer(text)
        except ValueError as error:
            raise ValueError(f"auto or {error}") from None

    return read
