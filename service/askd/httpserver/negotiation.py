"""Content negotiation (RFC 9110, section 12.5.1): which representation the client's `Accept` asks for. No aiohttp."""

import enum
from collections.abc import Sequence
from functools import lru_cache

from service.errors import NotAcceptable

JSON = "application/json"
TEXT = "text/plain"
STREAM = "text/event-stream"
HTML = "text/html"
PROBLEM = "application/problem+json"


class Representation(enum.Enum):
    """How an answer is written down."""

    JSON = JSON
    TEXT = TEXT
    STREAM = STREAM


@lru_cache(maxsize=256)
def _ranges(accept: str) -> tuple[tuple[str, float], ...]:
    """Media ranges with their quality; a malformed quality counts as 0, parameters are ignored."""
    found = []
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _quality(value.strip())
        if media:
            found.append((media, quality))
    return tuple(found)


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def quality(accept: str, media: str) -> float:
    """Return how much the client wants this media type, 0 to 1; the most specific range decides."""
    group = media.partition("/")[0] + "/*"
    best, specific = 0.0, -1
    for offered, value in _ranges(accept):
        rank = 2 if offered == media else 1 if offered == group else 0 if offered == "*/*" else -1
        if rank > specific:
            best, specific = value, rank
    return best


@lru_cache(maxsize=256)
def choose(accept: str, offers: Sequence[str]) -> str | None:
    """Return the media type that the client wants most, None if it wants none; a tie goes to the earlier offer."""
    best = max(offers, key=lambda media: quality(accept, media))
    return best if quality(accept, best) > 0 else None


_ANSWERS = (JSON, TEXT, STREAM)


@lru_cache(maxsize=256)
def representation(accept: str) -> Representation:
    """Return the representation of an answer; JSON where the client does not care. Raises NotAcceptable."""
    chosen = choose(accept, _ANSWERS) if accept else JSON
    if chosen is None:
        raise NotAcceptable(f"An answer is one of {', '.join(_ANSWERS)}: name one of them in Accept, or */*.")
    return Representation(chosen)


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip (RFC 9110, section 12.5.3): `*` speaks for it where it is not named."""
    codings = dict(_ranges(accept_encoding))
    return codings.get("gzip", codings.get("*", 0.0)) > 0


@lru_cache(maxsize=256)
def prefers_html(accept: str) -> bool:
    """Whether the client would rather read HTML than JSON, as a browser does."""
    return bool(accept) and quality(accept, HTML) > max(quality(accept, JSON), quality(accept, PROBLEM))
