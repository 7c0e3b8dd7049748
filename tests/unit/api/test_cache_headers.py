"""Cache headers: request directives, `Cache-Status` and `Age`."""

import math
import time

import pytest

from askd.api import cache_headers
from askd.api.cache_headers import parse_cache_directives
from askd.guards.cache import NO_DIRECTIVES, CacheDirectives, CacheHit, MissReason
from askd.models import Answer

NO_CACHE = CacheDirectives(no_cache=True)


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("no-cache", NO_CACHE),
        ("No-Cache", NO_CACHE),
        ("no-store", CacheDirectives(no_store=True)),
        ("only-if-cached", CacheDirectives(only_if_cached=True)),
        ("max-age=60", CacheDirectives(max_age=60.0)),
        ("max-age=0", CacheDirectives(max_age=0.0)),
        ('max-age="60"', CacheDirectives(max_age=60.0)),
        ("no-cache, no-store", CacheDirectives(no_cache=True, no_store=True)),
        (" ,, no-cache\t,,max-age=5 ,", CacheDirectives(no_cache=True, max_age=5.0)),
        ("only-if-cached,max-age=5", CacheDirectives(only_if_cached=True, max_age=5.0)),
        ("max-stale=60, min-fresh=5, no-transform, private, immutable", NO_DIRECTIVES),
        ("", NO_DIRECTIVES),
        (",", NO_DIRECTIVES),
    ],
)
def test_directives_are_parsed(cache_control: str, expected: CacheDirectives) -> None:
    """Directives are case-insensitive, may have whitespace and empty elements between them; others are ignored."""
    assert parse_cache_directives(cache_control) == expected


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("max-age=99999999999999999999999", 2.0**31),
        ("max-age=" + "9" * 8000, 2.0**31),
        ("max-age=" + "0" * 8000 + "7", 7.0),
        ("max-age=-1", 0.0),
        ("max-age=1.5", 0.0),
        ("max-age=soon", 0.0),
        ("max-age=٣", math.inf),  # not a directive, which must be ASCII
        ("max-age", 0.0),
        ('max-age=""', 0.0),
        ("max-age=5, max-age=60", 5.0),
    ],
)
def test_max_age_is_parsed(cache_control: str, expected: float) -> None:
    """An invalid number counts as 0, a large one is clamped, and the first of two counts."""
    assert parse_cache_directives(cache_control).max_age == expected


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ('extension="a, no-cache, b"', NO_DIRECTIVES),
        (r'extension="a\", no-cache, b"', NO_DIRECTIVES),
        ('extension="a, no-cache', NO_DIRECTIVES),
        ('"no-cache"', NO_DIRECTIVES),
        ("no-cache-please", NO_DIRECTIVES),
        ("no cache", NO_DIRECTIVES),
        ("no-cache = 1", NO_DIRECTIVES),
        ("é, no-cache", NO_CACHE),
        ("a/b, no-cache", NO_CACHE),
        ('a b "c, no-store" d, no-cache', NO_CACHE),
        ('no-cache="Set-Cookie"', NO_CACHE),
    ],
)
def test_malformed_directives_are_ignored(cache_control: str, expected: CacheDirectives) -> None:
    """Quoted strings and malformed elements are ignored, and do not hide the directives after them."""
    assert parse_cache_directives(cache_control) == expected


@pytest.mark.parametrize(
    ("cache_control", "pragma", "expected"),
    [
        (None, None, NO_DIRECTIVES),
        (None, "no-cache", NO_CACHE),
        (None, "x, No-Cache", NO_CACHE),
        (None, "no-store", NO_DIRECTIVES),
        (None, "max-age=0", NO_DIRECTIVES),
        ("max-age=60", "no-cache", CacheDirectives(max_age=60.0)),
        ("", "no-cache", NO_DIRECTIVES),
    ],
)
def test_pragma_counts_without_cache_control(
    cache_control: str | None, pragma: str | None, expected: CacheDirectives
) -> None:
    """`Pragma: no-cache` is supported for old clients, and ignored if there is a Cache-Control header."""
    assert parse_cache_directives(cache_control, pragma) == expected


def test_no_header_allocates_nothing() -> None:
    """Requests without cache headers, which most are, share one object."""
    assert parse_cache_directives(None) is NO_DIRECTIVES


def test_parsing_takes_linear_time() -> None:
    """A header of 100,000 characters is parsed quickly, because the pattern does not backtrack quadratically."""
    started = time.perf_counter()
    for part in ('"', "a", ' "', '"\\', "a=", ",", " ", 'a="', "\\"):
        assert parse_cache_directives(part * (100_000 // len(part))) == NO_DIRECTIVES
    assert time.perf_counter() - started < 5.0


HIT = CacheHit(Answer("a"), (), 12.9, math.inf)


@pytest.mark.parametrize(
    ("hit", "status", "age"),
    [
        (HIT, "askd; hit", "12"),
        (CacheHit(Answer("a"), (), 0.2, 60.0), "askd; hit; ttl=59", "0"),
        (CacheHit(None, ("b",), 4.5, 5.0), "askd; hit; ttl=0; detail=no-answer", "4"),
    ],
)
def test_headers_of_a_hit(hit: CacheHit, status: str, age: str) -> None:
    """Age and TTL are whole seconds; an entry without expiry has no TTL; a cached "no answer" has a detail."""
    assert (cache_headers.cache_status_hit(hit), cache_headers.age_header(hit)) == (status, age)


@pytest.mark.parametrize(
    ("miss_reason", "status"),
    [
        (MissReason.ABSENT, "askd; fwd=uri-miss"),
        (MissReason.EXPIRED, "askd; fwd=stale"),
        (MissReason.BYPASSED, "askd; fwd=request"),
        (MissReason.DISABLED, "askd; fwd=bypass"),
    ],
)
def test_headers_of_a_miss(miss_reason: MissReason, status: str) -> None:
    """Each reason has a `fwd` value of RFC 9211; the other parameters follow it."""
    assert cache_headers.cache_status_forwarded(miss_reason) == status
    assert cache_headers.cache_status_forwarded(miss_reason, stored=True) == f"{status}; stored"
    full_status = cache_headers.cache_status_forwarded(miss_reason, stored=True, collapsed=True, detail="no-answer")
    assert full_status == f"{status}; stored; collapsed; detail=no-answer"
