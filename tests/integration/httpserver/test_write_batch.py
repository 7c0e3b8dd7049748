"""The outbox: answers of one turn leave together, and before whatever follows them."""

import asyncio

import pytest

from service.guards.connections import Reason
from service.web.outbox import Outbox
from tests.fakes import Upper
from tests.web.conftest import Log
from tests.web.pipe import Pipe
from tests.web.wire import Wired, get


class Posting:
    """A connection as the outbox sees it."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self.transport = transport
        self.posted = False


async def test_answers_leave_at_the_end_of_the_turn_in_order() -> None:
    """They are sent before anything that was called for after them; what is lost meanwhile is passed over."""
    written: list[bytes] = []
    outbox = Outbox(asyncio.get_running_loop())
    first, lost, last = Posting(Pipe(written)), Posting(Pipe(written)), Posting(Pipe(written))
    for sender in (first, lost, last):
        outbox.expect()
        outbox.put(sender, b"%d" % id(sender))
    lost.transport = None
    assert (written, first.posted) == ([], True)
    seen = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: seen.set_result(list(written)))
    assert await seen == [b"%d" % id(first), b"%d" % id(last)]
    assert not first.posted
    outbox.expect()
    outbox.put(last, b"again")
    outbox.flush()
    assert written[-1] == b"again"


class Closed(Pipe):
    """Takes nothing any more, as a transport does whose handle is closed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Refuse."""
        raise RuntimeError("the handler is closed")


async def test_one_that_cannot_be_written_costs_nobody_else_an_answer(log: Log) -> None:
    """The fault is logged, and those behind it have theirs."""
    written: list[bytes] = []
    outbox = Outbox(asyncio.get_running_loop())
    for sender in (Posting(Closed()), Posting(Pipe(written))):
        outbox.put(sender, b"answer")
    outbox.flush()
    assert written == [b"answer"]
    assert len(log.lines("an answer could not be written")) == 1


@pytest.mark.parametrize("end", ["close", "force_close", "end"])
async def test_an_answer_is_sent_before_its_connection_ends(wire: Wired, end: str) -> None:
    """Whatever closes a connection in the turn in which it was answered, its client has the answer."""
    server = await wire(Upper())
    async with server.open() as line:
        line.send(get("/ask?q=hello"))
        await line.reply()
        (connection,) = server.lines()
        connection.data_received(get("/ask?q=hello"))
        assert connection.posted
        if end == "end":
            connection.end(Reason.IDLE)
        else:
            getattr(connection, end)()
        assert (await line.reply()).status == 200
