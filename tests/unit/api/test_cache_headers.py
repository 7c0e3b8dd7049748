"""The fields of HTTP about the cache: what is read from a request, and what a response says."""

import math
import time

import pytest

from service.guards.cache import Kept, Missed
from service.guards.wishes import NONE, Wishes
from service.models import Answer
from service.web import cache_fields
from service.web.cache_fields import wishes

ROUND = Wishes(look=False)


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("no-cache", ROUND),
        ("No-Cache", ROUND),
        ("no-store", Wishes(keep=False)),
        ("only-if-cached", Wishes(call=False)),
        ("max-age=60", Wishes(max_age=60.0)),
        ("max-age=0", Wishes(max_age=0.0)),
        ('max-age="60"', Wishes(max_age=60.0)),
        ("no-cache, no-store", Wishes(look=False, keep=False)),
        (" ,, no-cache\t,,max-age=5 ,", Wishes(look=False, max_age=5.0)),
        ("only-if-cached,max-age=5", Wishes(call=False, max_age=5.0)),
        ("max-stale=60, min-fresh=5, no-transform, private, immutable", NONE),
        ("", NONE),
        (",", NONE),
    ],
)
def test_directives_are_read(cache_control: str, expected: Wishes) -> None:
    """Each directive asks for one thing, in any case, with blanks and empty elements between them; others for none."""
    assert wishes(cache_control) == expected


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("max-age=99999999999999999999999", 2.0**31),
        ("max-age=" + "9" * 8000, 2.0**31),
        ("max-age=" + "0" * 8000 + "7", 7.0),
        ("max-age=-1", 0.0),
        ("max-age=1.5", 0.0),
        ("max-age=soon", 0.0),
        ("max-age=٣", math.inf),  # no directive, as that is of ASCII
        ("max-age", 0.0),
        ('max-age=""', 0.0),
        ("max-age=5, max-age=60", 5.0),
    ],
)
def test_an_age_that_is_none_asks_for_nothing_kept(cache_control: str, expected: float) -> None:
    """A faulty number is 0, one that is too large is the largest; of two the first counts."""
    assert wishes(cache_control).max_age == expected


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ('extension="a, no-cache, b"', NONE),
        (r'extension="a\", no-cache, b"', NONE),
        ('extension="a, no-cache', NONE),
        ('"no-cache"', NONE),
        ("no-cache-please", NONE),
        ("no cache", NONE),
        ("no-cache = 1", NONE),
        ("é, no-cache", ROUND),
        ("a/b, no-cache", ROUND),
        ('a b "c, no-store" d, no-cache', ROUND),
        ('no-cache="Set-Cookie"', ROUND),
    ],
)
def test_what_is_no_directive_is_passed_over(cache_control: str, expected: Wishes) -> None:
    """Text within quotes and malformed elements ask for nothing, and do not hide what stands after them."""
    assert wishes(cache_control) == expected


@pytest.mark.parametrize(
    ("cache_control", "pragma", "expected"),
    [
        (None, None, NONE),
        (None, "no-cache", ROUND),
        (None, "x, No-Cache", ROUND),
        (None, "no-store", NONE),
        (None, "max-age=0", NONE),
        ("max-age=60", "no-cache", Wishes(max_age=60.0)),
        ("", "no-cache", NONE),
    ],
)
def test_pragma_counts_where_there_is_no_cache_control(
    cache_control: str | None, pragma: str | None, expected: Wishes
) -> None:
    """Old clients say no-cache by it, and nothing else; one that has Cache-Control means that."""
    assert wishes(cache_control, pragma) == expected


def test_without_a_header_nothing_is_made() -> None:
    """The wishes of nearly all requests are one ready object."""
    assert wishes(None) is NONE


def test_reading_takes_time_in_proportion() -> None:
    """A header far longer than one may be is read in a fraction of what it took if each character cost all others."""
    started = time.perf_counter()
    for part in ('"', "a", ' "', '"\\', "a=", ",", " ", 'a="', "\\"):
        assert wishes(part * (100_000 // len(part))) == NONE
    assert time.perf_counter() - started < 5.0


KEPT = Kept(Answer("a"), (), 12.9, math.inf)


@pytest.mark.parametrize(
    ("kept", "status", "age"),
    [
        (KEPT, "askd; hit", "12"),
        (Kept(Answer("a"), (), 0.2, 60.0), "askd; hit; ttl=59", "0"),
        (Kept(None, ("b",), 4.5, 5.0), "askd; hit; ttl=0; detail=no-answer", "4"),
    ],
)
def test_a_hit_tells_its_age_and_what_is_left(kept: Kept, status: str, age: str) -> None:
    """Age and time left are whole seconds; without a TTL nothing is said of it; a no-answer says that it is one."""
    assert (cache_fields.hit(kept), cache_fields.age(kept)) == (status, age)


@pytest.mark.parametrize(
    ("missed", "status"),
    [
        (Missed.ABSENT, "askd; fwd=uri-miss"),
        (Missed.EXPIRED, "askd; fwd=stale"),
        (Missed.UNWANTED, "askd; fwd=request"),
        (Missed.OFF, "askd; fwd=bypass"),
    ],
)
def test_what_went_on_to_the_code_says_why(missed: Missed, status: str) -> None:
    """Each reason has its word of RFC 9211; what became of the answer stands after it."""
    assert cache_fields.forwarded(missed) == status
    assert cache_fields.forwarded(missed, stored=True) == f"{status}; stored"
    said = cache_fields.forwarded(missed, stored=True, collapsed=True, detail="no-answer")
    assert said == f"{status}; stored; collapsed; detail=no-answer"
