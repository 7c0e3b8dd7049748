"""Content negotiation (RFC 9110, section 12.5): `Accept` and `Accept-Encoding`. Does not depend on aiohttp."""

import enum
from collections.abc import Sequence
from functools import lru_cache

from askd.errors import NotAcceptable

JSON = "application/json"
TEXT = "text/plain"
STREAM = "text/event-stream"
HTML = "text/html"
PROBLEM = "application/problem+json"


class Representation(enum.Enum):
    """Media type of an answer."""

    JSON = JSON
    TEXT = TEXT
    STREAM = STREAM


# All caches in this module are bounded, because clients choose the keys.
@lru_cache(maxsize=256)
def _parse_media_ranges(accept: str) -> tuple[tuple[str, float], ...]:
    """Return media ranges with their quality. A malformed quality counts as 0; other parameters are ignored."""
    ranges = []
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _parse_quality(value.strip())
        if media:
            ranges.append((media, quality))
    return tuple(ranges)


def _parse_quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    # `float` also accepts "nan" and "inf", which this comparison rejects.
    return value if 0.0 <= value <= 1.0 else 0.0


def quality(accept: str, media: str) -> float:
    """Return the quality of a media type, 0 to 1. The most specific matching range decides."""
    group = media.partition("/")[0] + "/*"
    result, best_specificity = 0.0, -1
    for media_range, value in _parse_media_ranges(accept):
        specificity = 2 if media_range == media else 1 if media_range == group else 0 if media_range == "*/*" else -1
        if specificity > best_specificity:
            result, best_specificity = value, specificity
    return result


@lru_cache(maxsize=256)
def choose_media_type(accept: str, offers: Sequence[str]) -> str | None:
    """Return the offer with the highest quality, or None if none is acceptable. The earlier offer wins a tie."""
    best = max(offers, key=lambda media: quality(accept, media))
    return best if quality(accept, best) > 0 else None


_ANSWER_MEDIA_TYPES = (JSON, TEXT, STREAM)


@lru_cache(maxsize=256)
def negotiate_representation(accept: str) -> Representation:
    """Return the representation of an answer; the default is JSON. Raises NotAcceptable."""
    chosen = choose_media_type(accept, _ANSWER_MEDIA_TYPES) if accept else JSON
    if chosen is None:
        raise NotAcceptable(
            f"No supported media type is acceptable. Accept one of {', '.join(_ANSWER_MEDIA_TYPES)}, or */*."
        )
    return Representation(chosen)


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the client accepts gzip (RFC 9110, section 12.5.3). `*` covers codings that are not listed."""
    codings = dict(_parse_media_ranges(accept_encoding))
    return codings.get("gzip", codings.get("*", 0.0)) > 0


@lru_cache(maxsize=256)
def prefers_html(accept: str) -> bool:
    """Return whether the client prefers HTML to JSON, as a browser does."""
    return bool(accept) and quality(accept, HTML) > max(quality(accept, JSON), quality(accept, PROBLEM))
