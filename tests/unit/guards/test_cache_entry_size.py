"""Measurement of the memory that a cached value uses."""

import sys
from typing import Any

import msgspec
import pytest

from askd.guards.cache import memory_size
from askd.models import Answer


class ObjectWithDict:
    """Has an attribute in its `__dict__`."""

    def __init__(self, value: object) -> None:
        self.value = value


class ObjectWithSlots:
    """Has an attribute in a slot."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Struct(msgspec.Struct):
    """Has a msgspec field."""

    value: Any


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
        ObjectWithDict(TEXT),
        ObjectWithSlots(TEXT),
        Struct(TEXT),
        Answer(TEXT),
        Answer("", {"a": TEXT}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_contained_objects_are_counted(value: object) -> None:
    """A text counts wherever it is contained, with less than a kilobyte for the containers."""
    assert memory_size(TEXT) <= memory_size(value) <= memory_size(TEXT) + 1000


def test_wide_characters_count_as_stored() -> None:
    """Wide characters count with the four bytes that they use in memory, not with their encoded size."""
    assert memory_size("😀" * 1000) == pytest.approx(4000, abs=100)


def test_shared_objects_are_counted_once() -> None:
    """An object that is contained twice counts once, also in a reference cycle."""
    cycle: list[object] = [TEXT, TEXT]
    cycle.append(cycle)
    assert memory_size(cycle) < memory_size(TEXT) + 200


def test_classes_and_singletons_are_not_counted() -> None:
    """Classes, modules, functions and None are not part of a value."""
    assert memory_size([ObjectWithDict, sys, memory_size, len, None]) == memory_size([None] * 5)


def test_counting_stops_at_the_limit() -> None:
    """Above the limit, counting stops: the result exceeds the limit, but is far from the total."""
    large = [str(number) * 10 for number in range(100_000)]
    limit = sys.getsizeof(large) + 10_000
    assert limit < memory_size(large, limit) < limit + 1000
