"""Deferred writes: responses of one loop iteration are written together, and before anything that follows them."""

import asyncio

from askd.httpserver.deferred_writes import DeferredWrites
from tests.support.app_fixtures import Log
from tests.support.fake_transport import FakeTransport


class FakeSender:
    """A connection as `DeferredWrites` sees it."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self.transport = transport
        self.has_deferred_response = False


async def test_responses_are_written_at_the_end_of_the_iteration_in_order() -> None:
    """Responses are written before callbacks that were scheduled later; those of lost connections are dropped."""
    loop = asyncio.get_running_loop()
    written: list[bytes] = []
    writes = DeferredWrites(loop)
    first, lost, last = (FakeSender(FakeTransport(written)) for _ in range(3))
    for sender in (first, lost, last):
        writes.add(sender, b"%d" % id(sender))
    lost.transport = None
    assert (written, first.has_deferred_response) == ([], True)
    written_at_next_callback = loop.create_future()
    loop.call_soon(lambda: written_at_next_callback.set_result(list(written)))
    assert await written_at_next_callback == [b"%d" % id(first), b"%d" % id(last)]
    assert not first.has_deferred_response
    writes.add(last, b"again")
    writes.flush()
    assert written[-1] == b"again"


class ClosedTransport(FakeTransport):
    """A transport whose handle is closed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Raise an error, as uvloop does."""
        raise RuntimeError("the handler is closed")


async def test_write_error_does_not_affect_other_connections(log: Log) -> None:
    """The error is logged, and the remaining responses are written."""
    written: list[bytes] = []
    writes = DeferredWrites(asyncio.get_running_loop())
    for sender in (FakeSender(ClosedTransport()), FakeSender(FakeTransport(written))):
        writes.add(sender, b"answer")
    writes.flush()
    assert written == [b"answer"]
    assert len(log.lines("response_write_failed")) == 1
