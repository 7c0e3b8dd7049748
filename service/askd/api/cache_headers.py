"""Cache headers: `Cache-Control` and `Pragma` of requests (RFC 9111), `Cache-Status` (RFC 9211) and `Age`."""

import enum
import re
from functools import lru_cache
from typing import Final

from askd.guards.cache import NO_DIRECTIVES, CacheDirectives, CacheHit, MissReason

CACHE_NAME: Final = "askd"
"""Name of the cache in `Cache-Status`."""
_MAX_DELTA_SECONDS: Final = 1 << 31
"""Larger numbers are clamped to this (RFC 9111, section 1.2.2)."""
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token as defined by RFC 9110, not a password
_QUOTED_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_DIRECTIVE: Final = re.compile(
    rf'({_TOKEN})(?:=({_TOKEN}|{_QUOTED_STRING}))?[ \t]*(?=,|\Z)|(?![\s,])(?:[^,"]|{_QUOTED_STRING}|".*)+'
)
"""A directive with its optional value; or, without groups, malformed text up to the next comma outside of quotes."""


class _ForwardReason(enum.Enum):
    """Value of the `fwd` parameter (RFC 9211, section 2.2)."""

    BYPASS = "bypass"
    URI_MISS = "uri-miss"
    REQUEST = "request"
    STALE = "stale"


_FORWARD_REASONS: Final = {
    MissReason.ABSENT: _ForwardReason.URI_MISS,
    MissReason.EXPIRED: _ForwardReason.STALE,
    MissReason.BYPASSED: _ForwardReason.REQUEST,
    MissReason.DISABLED: _ForwardReason.BYPASS,
}


def parse_cache_directives(cache_control: str | None, pragma: str | None = None) -> CacheDirectives:
    """Parse the cache directives of a request.

    Args:
        cache_control: `Cache-Control`, several header lines joined by commas; None if the header is missing.
        pragma: `Pragma`, which only counts if `Cache-Control` is missing.
    """
    if cache_control is None:
        return NO_DIRECTIVES if pragma is None else _parse_pragma(pragma)
    return _parse_cache_control(cache_control)


def cache_status_hit(hit: CacheHit) -> str:
    """Return `Cache-Status` for a cache hit. A cached "no answer" is marked with `detail=no-answer`."""
    remaining_ttl = hit.remaining_ttl
    ttl = "" if remaining_ttl is None else f"; ttl={int(remaining_ttl)}"
    detail = "; detail=no-answer" if hit.answer is None else ""
    return f"{CACHE_NAME}; hit{ttl}{detail}"


def cache_status_forwarded(
    miss_reason: MissReason, *, stored: bool = False, collapsed: bool = False, detail: str = ""
) -> str:
    """Return `Cache-Status` for a cache miss.

    Args:
        stored: Whether the answer was stored in the cache.
        collapsed: Whether the answer is the result of a concurrent call for the same question (single flight).
        detail: Additional information, which must be a token (RFC 9110, section 5.6.2).
    """
    return (
        f"{CACHE_NAME}; fwd={_FORWARD_REASONS[miss_reason].value}"
        + ("; stored" if stored else "")
        + ("; collapsed" if collapsed else "")
        + (f"; detail={detail}" if detail else "")
    )


def age_header(hit: CacheHit) -> str:
    """Return `Age`: whole seconds since the answerer returned the answer (RFC 9111, section 5.1)."""
    return str(int(hit.age))


@lru_cache(maxsize=256)
def _parse_cache_control(cache_control: str) -> CacheDirectives:
    """Unknown directives and malformed text are ignored; the first of several equal directives counts."""
    directives: dict[str, str] = {}
    for element in _DIRECTIVE.finditer(cache_control):
        if element[1]:
            directives.setdefault(element[1].lower(), (element[2] or "").strip('"'))
    return CacheDirectives(
        no_cache="no-cache" in directives,
        no_store="no-store" in directives,
        only_if_cached="only-if-cached" in directives,
        max_age=_parse_delta_seconds(directives["max-age"]) if "max-age" in directives else NO_DIRECTIVES.max_age,
    )


def _parse_delta_seconds(text: str) -> float:
    """Parse delta-seconds. An invalid value counts as 0, so that cached answers are stale (RFC 9111, section 4.2.1)."""
    if not re.fullmatch(r"\d+", text, re.ASCII):
        return 0.0
    # Slicing bounds the cost of `int`, which is quadratic in the number of digits.
    return float(min(int(text.lstrip("0")[:11] or 0), _MAX_DELTA_SECONDS))


def _parse_pragma(pragma: str) -> CacheDirectives:
    """Support `Pragma: no-cache`, which is deprecated (RFC 9111, section 5.4) but still sent by old clients."""
    return CacheDirectives(no_cache=_parse_cache_control(pragma).no_cache)
