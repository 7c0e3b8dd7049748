"""Messages between the server and a worker process."""

import pytest

from askd.answerers.worker_processes import messages
from askd.answerers.worker_processes.messages import Answered, Delta, Event, FrameReader


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_messages_arrive_in_pieces_of_any_size(size: int) -> None:
    """Frames are put together again, however the socket has cut them."""
    sent = [Delta("a"), Answered("ä" * 50, b'{"n":1}', b""), Delta("")]
    data = b"".join(map(messages.encode, sent))
    reader = FrameReader(Event)
    received = [message for start in range(0, len(data), size) for message in reader.feed(data[start : start + size])]
    assert received == sent


def test_headers_keep_bytes_that_are_not_utf8() -> None:
    """Header values with bytes that are not UTF-8, and with colons, arrive unchanged."""
    headers = {"Host": "localhost:80", "X-Name": "J\udcfcrgen", "X-Empty": ""}
    assert dict(messages.decode_headers(messages.encode_headers(headers))) == headers
    assert messages.decode_headers(b"") == []
