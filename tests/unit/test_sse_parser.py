"""Tests of the parser for server-sent events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.sse_parser import EventTooLong, ServerSentEvent, SSEParser

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


def parse(*chunks: bytes, max_length: int = 1 << 20) -> list[ServerSentEvent]:
    """Return all events in these chunks."""
    parser = SSEParser(max_length)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("message", "a")]),
        (b"event: x\ndata: a\n\n", [("x", "a")]),
        (b"data: a\ndata: b\n\n", [("message", "a\nb")]),
        (b"data:a\n\n", [("message", "a")]),
        (b"data:  a\n\n", [("message", " a")]),
        (b"data\n\n", [("message", "")]),
        (b": comment\n\n:\n\ndata: a\n\n", [("message", "a")]),
        (b"event: x\n\ndata: a\n\n", [("message", "a")]),
        (b"id: 1\nretry: 5\nother: z\ndata: a\n\n", [("message", "a")]),
        (b"data: a\r\r", [("message", "a")]),
        (b"data: a\r\n\r\n", [("message", "a")]),
        (b"data: a\r\n\ndata: b\n\r\n", [("message", "a"), ("message", "b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("message", "a")]),
        (b"data: \xff\n\n", [("message", "\ufffd")]),
        ("data: \u2028ü\n\n".encode(), [("message", "\u2028ü")]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"\n\n\n", []),
    ],
)
def test_streams(stream: bytes, events: list[tuple[str, str]]) -> None:
    """Events are parsed according to the standard however they are split; an incomplete event is ignored."""
    expected = [ServerSentEvent(*event) for event in events]
    assert parse(stream) == expected
    assert parse(*(stream[index : index + 1] for index in range(len(stream)))) == expected
    for cut in range(len(stream) + 1):
        assert parse(stream[:cut], b"", stream[cut:]) == expected


@given(
    st.lists(st.tuples(TEXTS.filter(bool), st.lists(TEXTS, min_size=1, max_size=3)), max_size=4),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.integers(1, 7),
)
def test_round_trip(events: list[tuple[str, list[str]]], line_end: str, size: int) -> None:
    """Events with any line ending and with comments are parsed however they are split."""
    lines = [
        line
        for name, data in events
        for line in (":", f"event: {name}", ": x", *(f"data: {text}" for text in data), "")
    ]
    raw = "".join(line + line_end for line in lines).encode()
    chunks = (raw[start : start + size] for start in range(0, len(raw), size))
    assert parse(*chunks) == [ServerSentEvent(name, "\n".join(data)) for name, data in events]


@given(st.binary(max_size=60), st.integers(1, 5))
def test_splitting_has_no_effect(raw: bytes, size: int) -> None:
    """For any bytes, the result does not depend on how they are split."""
    assert parse(*(raw[start : start + size] for start in range(0, len(raw), size))) == parse(raw)


@pytest.mark.parametrize("chunk", [b"data: aaaaaaaaaa", b"data: aaa\n", b":aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_event_too_long(chunk: bytes) -> None:
    """An event over the maximum length raises EventTooLong, whether it has one line or many."""
    with pytest.raises(EventTooLong):
        parse(*([chunk] * 10), max_length=50)


def test_stream_length_is_unlimited() -> None:
    """The maximum length does not apply to comments, nor to the stream as a whole."""
    assert len(parse(*([b": still here\n\ndata: a\n\n"] * 1000), max_length=50)) == 1000
    assert parse(*([b": still here\n"] * 1000), max_length=50) == []
