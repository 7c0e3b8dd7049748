"""Server-sent events, cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.remote.sse import Event, Reader, TooLong

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


def read(*chunks: bytes, longest: int = 1 << 20) -> list[Event]:
    """All events of these chunks."""
    reader = Reader(longest)
    return [event for chunk in chunks for event in reader.feed(chunk)]


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
    """Events as the standard has them, whole or byte by byte; one that is not ended is none."""
    expected = [Event(*event) for event in events]
    assert read(stream) == expected
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    for cut in range(len(stream) + 1):
        assert read(stream[:cut], b"", stream[cut:]) == expected


@given(
    st.lists(st.tuples(TEXTS.filter(bool), st.lists(TEXTS, min_size=1, max_size=3)), max_size=4),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.integers(1, 7),
)
def test_round_trip(events: list[tuple[str, list[str]]], end: str, size: int) -> None:
    """What is written with any line ends, with comments between, is read back wherever it is cut."""
    lines = [
        line
        for name, data in events
        for line in (":", f"event: {name}", ": x", *(f"data: {each}" for each in data), "")
    ]
    raw = "".join(line + end for line in lines).encode()
    chunks = (raw[at : at + size] for at in range(0, len(raw), size))
    assert read(*chunks) == [Event(name, "\n".join(data)) for name, data in events]


@given(st.binary(max_size=60), st.integers(1, 5))
def test_any_bytes(raw: bytes, size: int) -> None:
    """Whatever the bytes, where they are cut changes nothing."""
    assert read(*(raw[at : at + size] for at in range(0, len(raw), size))) == read(raw)


@pytest.mark.parametrize("chunk", [b"data: aaaaaaaaaa", b"data: aaa\n", b":aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_too_long(chunk: bytes) -> None:
    """An event that does not end is given up, in one line or in many."""
    with pytest.raises(TooLong):
        read(*([chunk] * 10), longest=50)


def test_endless_heartbeats() -> None:
    """Comments and events that are over do not count: a stream may be as long as it likes."""
    assert len(read(*([b": still here\n\ndata: a\n\n"] * 1000), longest=50)) == 1000
    assert read(*([b": still here\n"] * 1000), longest=50) == []
