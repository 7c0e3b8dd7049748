"""What a value takes in memory."""

import sys
from typing import Any

import msgspec
import pytest

from service.guards.weight import weight
from service.models import Answer


class Plain:
    """Has an attribute."""

    def __init__(self, held: object) -> None:
        self.held = held


class Slotted:
    """Has an attribute, and no dict."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held


class Struct(msgspec.Struct):
    """Has a field."""

    held: Any


TEXT = "a" * 10_000


@pytest.mark.parametrize(
    "value",
    [
        [TEXT],
        (TEXT,),
        {"key": TEXT},
        {TEXT: "value"},
        {TEXT},
        {"a": [{"b": (TEXT,)}]},
        Plain(TEXT),
        Slotted(TEXT),
        Struct(TEXT),
        Answer(TEXT),
        Answer("", {"a": TEXT}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_held_is_weighed(value: object) -> None:
    """A text weighs the same wherever it is held, beside a few hundred bytes for what holds it."""
    assert weight(TEXT) <= weight(value) <= weight(TEXT) + 1000


def test_characters_weigh_what_they_take() -> None:
    """Wide characters take four bytes each in memory, whatever they take when they are sent."""
    assert weight("😀" * 1000) == pytest.approx(4000, abs=100)


def test_what_is_held_twice_is_weighed_once() -> None:
    """The same object counts once, also where it holds itself."""
    ring: list[object] = [TEXT, TEXT]
    ring.append(ring)
    assert weight(ring) < weight(TEXT) + 200


def test_classes_and_what_is_unique_weigh_nothing() -> None:
    """What is there anyway is not counted: classes, modules, functions, None."""
    empty = weight([None] * 5)
    assert weight([Plain, sys, weight, len, None]) == empty


def test_weighing_stops_at_the_limit() -> None:
    """What is too heavy is not weighed to its end: the result is over the limit, and far from the whole."""
    heavy = [str(number) * 10 for number in range(100_000)]
    limit = sys.getsizeof(heavy) + 10_000
    assert limit < weight(heavy, limit) < limit + 1000
