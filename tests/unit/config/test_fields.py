"""Readers for the text of settings."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.config import fields


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("2m", 120.0), ("1h", 3600.0), ("1.5", 1.5), (" 3 s ", 3.0), ("0", 0.0)],
)
def test_duration_accepts(text: str, seconds: float) -> None:
    """A duration is a number with ms, s, m or h; without a unit it is seconds."""
    assert fields.duration()(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10 sec", "-1s", "1e3", "nan", "inf", "10S", "1_0s", "٣s", "1" * 400])
def test_duration_rejects(text: str) -> None:
    """Invalid durations are rejected with examples of valid ones."""
    with pytest.raises(ValueError, match="such as 500ms, 10s or 2m"):
        fields.duration()(text)


@pytest.mark.parametrize(("text", "valid"), [("5s", True), ("6s", True), ("4999ms", False), ("6001ms", False)])
def test_duration_bounds_are_inclusive(text: str, *, valid: bool) -> None:
    """The bounds are valid, and values beyond them are rejected with the bounds."""
    read = fields.duration(5, 6)
    if valid:
        assert 5 <= read(text) <= 6
    else:
        with pytest.raises(ValueError, match="at least 5s, at most 6s"):
            read(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1MiB", 1 << 20), ("1GiB", 1 << 30), ("7B", 7), ("1.5KiB", 1536), ("0", 0)]
)
def test_size_accepts(text: str, size: int) -> None:
    """A size is a number of bytes or binary units; a fraction is valid if the result is whole bytes."""
    assert fields.size()(text) == size


@pytest.mark.parametrize("text", ["", "1KB", "1kib", "0.3", "0.3KiB", "-1", "MiB", "9999GiB"])
def test_size_rejects(text: str) -> None:
    """Decimal units, fractions of bytes and sizes out of range are rejected."""
    with pytest.raises(ValueError, match="such as 64KiB or 1MiB, from 0 to 1099511627776 bytes"):
        fields.size()(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1", 1.0), ("1.0", 1.0), (" 0.01 ", 0.01), ("1e-05", 1e-05)])
def test_fraction_accepts(text: str, value: float) -> None:
    """A fraction is a number from 0 to 1, also in scientific notation."""
    assert fields.fraction(text) == value


@pytest.mark.parametrize("text", ["", "1%", "1.01", "-0", ".5", "nan", "inf", "0_1", "1e3", "٠", "1" * 5000])
def test_fraction_rejects(text: str) -> None:
    """Percentages and numbers outside 0 to 1 are rejected with an example."""
    with pytest.raises(ValueError, match="a number from 0 to 1, such as"):
        fields.fraction(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), (" 9 ", 9), ("007", 7)])
def test_integer_accepts(text: str, number: int) -> None:
    """An integer may have surrounding spaces and leading zeros."""
    assert fields.integer(1, 9)(text) == number


@pytest.mark.parametrize("text", ["0", "10", "1.0", "+1", "-1", "1_0", "²", "", "1" * 30])
def test_integer_rejects(text: str) -> None:
    """Anything but digits in the range is rejected with the range."""
    with pytest.raises(ValueError, match="a whole number from 1 to 9"):
        fields.integer(1, 9)(text)


def test_choice_ignores_case() -> None:
    """A word is accepted in any case and returned in lower case."""
    assert fields.choice("json", "console")(" JSON ") == "json"


def test_choice_lists_the_words() -> None:
    """An unknown word is rejected with the list of words."""
    with pytest.raises(ValueError, match="one of json, console"):
        fields.choice("json", "console")("xml")


@pytest.mark.parametrize(("words", "value"), [("true yes on 1 TRUE", True), ("false no off 0 Off", False)])
def test_boolean_accepts(words: str, *, value: bool) -> None:
    """The usual words for true and false are accepted in any case."""
    assert {fields.boolean(word) for word in words.split()} == {value}


@pytest.mark.parametrize("text", ["", "2", "y", "truth"])
def test_boolean_rejects(text: str) -> None:
    """Any other word is rejected."""
    with pytest.raises(ValueError, match="true or false"):
        fields.boolean(text)


@given(st.integers(0, 10**7))
def test_plain_numbers_are_seconds_and_bytes(number: int) -> None:
    """Numbers without a unit are seconds or bytes, exactly."""
    assert fields.duration()(str(number)) == fields.size()(str(number)) == number


@given(st.text())
@pytest.mark.parametrize(
    "read", [fields.duration(), fields.size(), fields.integer(0, 9), fields.boolean, fields.choice("a")]
)
def test_readers_raise_only_value_error(read: Callable[[str], object], text: str) -> None:
    """For any text, a reader returns a value or raises ValueError."""
    with contextlib.suppress(ValueError):
        assert read(text) is not None
