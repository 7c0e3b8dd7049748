"""The fields of HTTP that speak of a cache: what a client asks of it (RFC 9111), and what it says it did (RFC 9211)."""

import enum
import re
from functools import lru_cache
from typing import Final

from service.guards.cache import Kept, Missed
from service.guards.wishes import NONE, Wishes

NAME: Final = "askd"
"""What the cache calls itself in `Cache-Status`."""
_LONGEST: Final = 1 << 31
"""Seconds; what is above is taken for this (RFC 9111, section 1.2.2)."""
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of RFC 9110, not a password
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_ELEMENT: Final = re.compile(rf'({_TOKEN})(?:=({_TOKEN}|{_QUOTED}))?[ \t]*(?=,|\Z)|(?![\s,])(?:[^,"]|{_QUOTED}|".*)+')
"""A directive and its value; or, without a name, what is none and reaches to the next comma outside of quotes."""


def wishes(cache_control: str | None, pragma: str | None = None) -> Wishes:
    """Read the request's `Cache-Control`, several joined by commas; None: it has none, and its `Pragma` counts."""
    if cache_control is None:
        return NONE if pragma is None else _pragma(pragma)
    return _wishes(cache_control)


def hit(kept: Kept) -> str:
    """Return `Cache-Status` for what came from the cache; an answer that there is none is told by `detail`."""
    ttl = "" if (left := kept.ttl) is None else f"; ttl={int(left)}"
    detail = "; detail=no-answer" if kept.answer is None else ""
    return f"{NAME}; hit{ttl}{detail}"


def forwarded(missed: Missed, *, stored: bool = False, collapsed: bool = False, detail: str = "") -> str:
    """Return `Cache-Status` for what did not come from the cache, and why.

    `stored`: it is kept now; `collapsed`: it is the result of another one's call, joined while that was under way.
    `detail` is a word for people, a token of RFC 9110 as it stands.
    """
    return (
        f"{NAME}; fwd={_FORWARD[missed].value}"
        + ("; stored" if stored else "")
        + ("; collapsed" if collapsed else "")
        + (f"; detail={detail}" if detail else "")
    )


def age(kept: Kept) -> str:
    """Return `Age`: whole seconds since the code gave the answer (RFC 9111, section 5.1)."""
    return str(int(kept.age))


class _Forward(enum.Enum):
    """Why a question went on to the code (RFC 9211, section 2.2)."""

    BYPASS = "bypass"
    URI_MISS = "uri-miss"
    REQUEST = "request"
    STALE = "stale"


_FORWARD: Final = {
    Missed.ABSENT: _Forward.URI_MISS,
    Missed.EXPIRED: _Forward.STALE,
    Missed.UNWANTED: _Forward.REQUEST,
    Missed.OFF: _Forward.BYPASS,
}


@lru_cache(maxsize=256)
def _wishes(cache_control: str) -> Wishes:
    """Directives that askd does not know ask for nothing; what is no directive is passed over to the next comma."""
    found: dict[str, str] = {}
    for element in _ELEMENT.finditer(cache_control):
        if element[1]:
            found.setdefault(element[1].lower(), (element[2] or "").strip('"'))
    return Wishes(
        look="no-cache" not in found,
        keep="no-store" not in found,
        call="only-if-cached" not in found,
        max_age=_seconds(found["max-age"]) if "max-age" in found else NONE.max_age,
    )


def _seconds(text: str) -> float:
    """Read delta-seconds; what is none asks for the least: nothing that is kept (RFC 9111, section 4.2.1)."""
    if not re.fullmatch(r"\d+", text, re.ASCII):
        return 0.0
    return float(min(int(text.lstrip("0")[:11] or 0), _LONGEST))


def _pragma(pragma: str) -> Wishes:
    """`Pragma: no-cache`, which RFC 9111, section 5.4, calls outdated; old clients mean `no-cache` by it."""
    return Wishes(look=_wishes(pragma).look)
