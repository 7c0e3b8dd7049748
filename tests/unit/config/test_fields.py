"""Readers for the text of settings."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("2m", 120.0), ("1h", 3600.0), ("1.5", 1.5), (" 3 s ", 3.0), ("0", 0.0)],
)
def test_duration_reads(text: str, seconds: float) -> None:
    """A duration is a number with ms, s, m or h; without a unit it is seconds."""
    assert units.duration()(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10 sec", "-1s", "1e3", "nan", "inf", "10S", "1_0s", "٣s", "1" * 400])
def test_duration_refuses(text: str) -> None:
    """What is no duration is refused with examples of what is."""
    with pytest.raises(ValueError, match="such as 500ms, 10s, 2m"):
        units.duration()(text)


@pytest.mark.parametrize(("text", "allowed"), [("5s", True), ("6s", True), ("4999ms", False), ("6001ms", False)])
def test_duration_has_inclusive_bounds(text: str, *, allowed: bool) -> None:
    """Bounds belong to the range, and are named where they are broken."""
    read = units.duration(5, 6)
    if allowed:
        assert 5 <= read(text) <= 6
    else:
        with pytest.raises(ValueError, match="at least 5s, at most 6s"):
            read(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1MiB", 1 << 20), ("1GiB", 1 << 30), ("7B", 7), ("1.5KiB", 1536), ("0", 0)]
)
def test_size_reads(text: str, size: int) -> None:
    """A size is a number of bytes, or of binary units, also in part as long as whole bytes come out."""
    assert units.size()(text) == size


@pytest.mark.parametrize("text", ["", "1KB", "1kib", "0.3", "0.3KiB", "-1", "MiB", "9999GiB"])
def test_size_refuses(text: str) -> None:
    """Decimal units, parts of bytes and sizes out of range are refused."""
    with pytest.raises(ValueError, match="such as 64KiB, 1MiB"):
        units.size()(text)


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("1", 1.0), ("1.0", 1.0), (" 0.01 ", 0.01), ("1e-05", 1e-05)])
def test_share_reads(text: str, share: float) -> None:
    """A share is a number from 0 to 1, also as machines write it."""
    assert units.share(text) == share


@pytest.mark.parametrize("text", ["", "1%", "1.01", "-0", ".5", "nan", "inf", "0_1", "1e3", "٠", "1" * 5000])
def test_share_refuses(text: str) -> None:
    """Percentages, and what is no number from 0 to 1, are refused with an example."""
    with pytest.raises(ValueError, match="a number from 0 to 1, such as"):
        units.share(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), (" 9 ", 9), ("007", 7)])
def test_whole_reads(text: str, number: int) -> None:
    """A whole number may have spaces around and zeros before it."""
    assert units.whole(1, 9)(text) == number


@pytest.mark.parametrize("text", ["0", "10", "1.0", "+1", "-1", "1_0", "²", "", "1" * 30])
def test_whole_refuses(text: str) -> None:
    """Anything but digits in the range is refused, with the range."""
    with pytest.raises(ValueError, match="a whole number from 1 to 9"):
        units.whole(1, 9)(text)


def test_choice_ignores_case() -> None:
    """A word is taken in any case and comes back in lower case."""
    assert units.choice("json", "console")(" JSON ") == "json"


def test_choice_names_the_words() -> None:
    """A word that is not on the list is answered with the list."""
    with pytest.raises(ValueError, match="one of json, console"):
        units.choice("json", "console")("xml")


@pytest.mark.parametrize(("words", "value"), [("true yes on 1 TRUE", True), ("false no off 0 Off", False)])
def test_boolean_reads(words: str, *, value: bool) -> None:
    """The usual words for true and false are taken, in any case."""
    assert {units.boolean(word) for word in words.split()} == {value}


@pytest.mark.parametrize("text", ["", "2", "y", "truth"])
def test_boolean_refuses(text: str) -> None:
    """Any other word is refused."""
    with pytest.raises(ValueError, match="true or false"):
        units.boolean(text)


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 10**7))
def test_duration_and_size_read_any_number(number: int) -> None:
    """Plain numbers are seconds, or bytes, exactly."""
    assert units.duration()(str(number)) == units.size()(str(number)) == number


@settings(deadline=None)  # a busy machine is no fault
@given(st.text())
@pytest.mark.parametrize("read", [units.duration(), units.size(), units.whole(0, 9), units.boolean, units.choice("a")])
def test_no_text_breaks_a_reader(read: Callable[[str], object], text: str) -> None:
    """Whatever the text, a reader returns a value or raises ValueError."""
    with contextlib.suppress(ValueError):
        assert read(text) is not None
