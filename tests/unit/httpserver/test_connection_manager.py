"""Connection limits, with a fake clock and fake connections."""

import dataclasses

import pytest

from askd.httpserver import connections
from askd.httpserver.connections import (
    DEADLINE_GRACE,
    SMALL_REQUEST,
    SWEEP_BATCH_SIZE,
    CloseReason,
    ConnectionLimits,
    ConnectionManager,
)
from tests.support.fakes import Clock

LIMITS = ConnectionLimits(
    max_connections=3, header_timeout=10.0, write_timeout=20.0, keepalive_timeout=75.0, max_age=300.0
)


@dataclasses.dataclass(eq=False)
class FakeConnection:
    """A connection that records how it was closed, and otherwise stays as it is."""

    headers_started_at: float | None = None
    has_received_request: bool = False
    is_busy: bool = False
    is_closing: bool = False
    written_bytes: int = 0
    buffered_bytes: int = 0
    deadline: float | None = None
    expires_at: float = 0.0
    idle_since: float | None = None
    close_after_response_reason: CloseReason | None = None
    flushed_bytes: int = 0
    stalled_since: float | None = None
    unsent_bytes: int = 0
    received_bytes: int = 0
    refusal_order: tuple[bool, float] = (False, 0.0)
    close_reasons: list[CloseReason] = dataclasses.field(default_factory=list)

    def close_with_reason(self, reason: CloseReason) -> None:
        """Record the reason."""
        self.close_reasons.append(reason)

    def update(self, **state: object) -> None:
        """Set attributes."""
        for name, value in state.items():
            assert hasattr(self, name)
            setattr(self, name, value)


class Harness:
    """A connection manager with a fake clock."""

    def __init__(self, limits: ConnectionLimits = LIMITS, random_float: float = 0.5) -> None:
        self.clock = Clock()
        self.manager = ConnectionManager(limits, clock=self.clock, random_float=lambda: random_float)

    def open(self, **state: object) -> FakeConnection:
        """Open a connection that has not received a request, then set attributes."""
        connection = FakeConnection()
        assert self.manager.try_add(connection)
        connection.update(**state)
        return connection

    def open_used(self, **state: object) -> FakeConnection:
        """Open a connection that has received a request, then set attributes."""
        return self.open(has_received_request=True, **state)

    def advance(self, seconds: float) -> None:
        """Advance the clock in steps of a quarter of a second, with a sweep after each, as the server does."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.manager.sweep()


def assert_closed_after(harness: Harness, connection: FakeConnection, seconds: float, reason: CloseReason) -> None:
    """Check that a connection is closed for this reason after so many seconds, and not before."""
    harness.advance(seconds - 0.25)
    assert connection.close_reasons == []
    harness.advance(0.25)
    assert connection.close_reasons[:1] == [reason]


def test_silent_connection_is_closed_after_the_header_timeout() -> None:
    """A new connection has the header timeout for its first request, not the longer keep-alive timeout."""
    harness = Harness()
    assert_closed_after(harness, harness.open(), 10.0, CloseReason.HEADER_TIMEOUT)


def test_slow_headers_are_closed() -> None:
    """The header timeout starts with the first byte of the headers, on new and on used connections."""
    harness = Harness()
    harness.advance(5.0)
    new, used = harness.open(headers_started_at=harness.clock.now), harness.open_used()
    harness.advance(30.0)
    assert (new.close_reasons[:1], used.close_reasons) == ([CloseReason.HEADER_TIMEOUT], [])
    used.update(headers_started_at=harness.clock.now)
    assert_closed_after(harness, used, 10.0, CloseReason.HEADER_TIMEOUT)


def test_pipelined_headers_get_the_full_timeout_after_the_request() -> None:
    """The header timeout of a pipelined request starts when the request before it has finished."""
    harness = Harness()
    connection = harness.open_used(is_busy=True, headers_started_at=harness.clock.now)
    harness.advance(60.0)
    connection.update(is_busy=False)
    # The sweep notices the end of the request up to a quarter of a second late.
    assert_closed_after(harness, connection, 10.25, CloseReason.HEADER_TIMEOUT)


def test_idle_connection_is_closed() -> None:
    """The keep-alive timeout starts again after each request."""
    harness = Harness()
    connection = harness.open_used()
    for _ in range(3):
        harness.advance(74.0)
        connection.update(is_busy=True, idle_since=None)
        harness.advance(100.0)
        connection.update(is_busy=False)
    assert_closed_after(harness, connection, 75.25, CloseReason.IDLE)


def test_request_between_two_sweeps_resets_the_idle_time() -> None:
    """A connection resets `idle_since` at the start of a request; no sweep needs to see the request."""
    harness = Harness()
    connection = harness.open_used()
    for _ in range(5):
        harness.advance(60.0)
        connection.update(idle_since=None)
    assert connection.close_reasons == []
    assert_closed_after(harness, connection, 75.25, CloseReason.IDLE)


def test_busy_connection_without_deadline_stays_open() -> None:
    """A request without a deadline may take an hour."""
    harness = Harness()
    connection = harness.open_used(is_busy=True)
    harness.advance(3600.0)
    assert connection.close_reasons == []


def test_client_that_reads_nothing_is_closed() -> None:
    """A connection is closed if the client accepts no byte for the write timeout."""
    harness = Harness()
    connection = harness.open_used(is_busy=True, written_bytes=1000, buffered_bytes=600)
    assert_closed_after(harness, connection, 20.25, CloseReason.WRITE_TIMEOUT)


def test_client_that_reads_slowly_is_not_closed() -> None:
    """Any progress resets the write timeout, even if the buffer grows."""
    harness = Harness()
    connection = harness.open_used(is_busy=True, written_bytes=1000, buffered_bytes=600)
    for _ in range(20):
        harness.advance(19.0)
        connection.update(written_bytes=connection.written_bytes + 50, buffered_bytes=connection.buffered_bytes + 49)
    assert connection.close_reasons == []
    # A write of 5,000 bytes without any progress.
    connection.update(written_bytes=connection.written_bytes + 5000, buffered_bytes=connection.buffered_bytes + 5000)
    harness.advance(21.0)
    assert connection.close_reasons[0] is CloseReason.WRITE_TIMEOUT


def test_stalls_do_not_add_up() -> None:
    """The write timeout starts again after the buffer was empty."""
    harness = Harness()
    connection = harness.open_used(is_busy=True)
    for _ in range(4):
        connection.update(written_bytes=connection.written_bytes + 1000, buffered_bytes=1000)
        harness.advance(15.0)
        connection.update(buffered_bytes=0)
        harness.advance(1.0)
    assert connection.close_reasons == []


def test_connection_with_buffered_bytes_is_not_idle() -> None:
    """The keep-alive timeout starts when the client has accepted the whole response."""
    harness = Harness(ConnectionLimits(write_timeout=100.0, keepalive_timeout=5.0))
    connection = harness.open_used(written_bytes=1000, buffered_bytes=1000)
    harness.advance(50.0)
    connection.update(buffered_bytes=0)
    assert_closed_after(harness, connection, 5.25, CloseReason.IDLE)


@pytest.mark.parametrize("state", [{"is_busy": True}, {"buffered_bytes": 10, "written_bytes": 10}])
def test_overdue_request_is_closed(state: dict[str, object]) -> None:
    """A request or an unsent response is ended after its deadline and the grace period."""
    harness = Harness()
    connection = harness.open_used(deadline=harness.clock.now + 5.0, **state)
    harness.advance(5.0 + DEADLINE_GRACE)
    assert connection.close_reasons == []
    harness.advance(0.25)
    assert connection.close_reasons == [CloseReason.DEADLINE]


def test_deadline_is_reset_after_the_request() -> None:
    """The deadline of a finished request does not apply to the next one."""
    harness = Harness()
    connection = harness.open_used(is_busy=True, deadline=harness.clock.now + 5.0)
    harness.advance(4.0)
    connection.update(is_busy=False)
    harness.advance(0.25)
    assert connection.deadline is None
    connection.update(is_busy=True, idle_since=None)
    harness.advance(60.0)
    assert connection.close_reasons == []


@pytest.mark.parametrize(("random_float", "age"), [(0.0, 270.0), (0.5, 300.0), (1.0, 330.0)])
def test_old_connection_closes_after_its_next_response(random_float: float, age: float) -> None:
    """At its maximum age, with jitter, a connection is not closed at once, but after its next response."""
    harness = Harness(random_float=random_float)
    connection = harness.open_used(is_busy=True)
    harness.advance(age - 0.25)
    reason_before = connection.close_after_response_reason
    harness.advance(0.25)
    assert (reason_before, connection.close_after_response_reason, connection.close_reasons) == (
        None,
        CloseReason.AGE,
        [],
    )


def test_maximum_age_can_be_disabled() -> None:
    """A maximum age of 0 disables it."""
    harness = Harness(ConnectionLimits(max_age=0.0))
    connection = harness.open_used(is_busy=True)
    harness.advance(3600.0)
    assert connection.close_after_response_reason is None


def test_drain_closes_every_connection_after_its_next_response() -> None:
    """Draining applies to open and new connections, and replaces an earlier reason."""
    harness = Harness()
    aged = harness.open_used(close_after_response_reason=CloseReason.AGE)
    harness.manager.drain()
    assert aged.close_after_response_reason is CloseReason.DRAIN
    assert harness.open().close_after_response_reason is CloseReason.DRAIN


def test_connection_that_does_not_finish_closing_is_closed_again() -> None:
    """A closing connection has two seconds, or the write timeout if it has buffered bytes."""
    harness = Harness()
    flushed = harness.open_used(is_closing=True)
    stalled = harness.open_used(is_closing=True, written_bytes=10, buffered_bytes=10)
    harness.advance(1.75)
    assert flushed.close_reasons == []
    harness.advance(0.5)
    assert (flushed.close_reasons[:1], stalled.close_reasons) == ([CloseReason.WRITE_TIMEOUT], [])
    harness.advance(18.25)
    assert stalled.close_reasons[:1] == [CloseReason.WRITE_TIMEOUT]


def test_close_timeout_starts_when_closing() -> None:
    """The close timeout starts when the connection is closed, not when it became idle."""
    harness = Harness()
    connection = harness.open_used()
    assert_closed_after(harness, connection, 75.0, CloseReason.IDLE)
    connection.update(is_closing=True)
    harness.advance(2.0)
    assert connection.close_reasons == [CloseReason.IDLE]
    harness.advance(0.25)
    assert connection.close_reasons == [CloseReason.IDLE, CloseReason.WRITE_TIMEOUT]


def test_unused_connections_are_evicted_first() -> None:
    """At the limit, the oldest connection without a complete request is evicted, even while a body arrives."""
    harness = Harness()
    used, receiving, silent = harness.open_used(), harness.open(is_busy=True), harness.open()
    harness.open()
    assert ([used.close_reasons, silent.close_reasons], receiving.close_reasons) == ([[], []], [CloseReason.LIMIT])
    harness.open_used()
    assert silent.close_reasons == [CloseReason.LIMIT]
    assert harness.manager.statistics().open_connections == 3


def test_longest_idle_connections_are_evicted_next() -> None:
    """Connections with a request in flight or buffered bytes are never evicted."""
    harness = Harness(ConnectionLimits(max_connections=4))
    opened = []
    for _ in range(4):
        opened.append(harness.open_used())
        harness.advance(1.0)
    first, second, third, fourth = opened
    first.update(idle_since=None)  # it has just been used
    second.update(is_busy=True, idle_since=None)
    third.update(written_bytes=5, buffered_bytes=5)
    harness.advance(0.25)
    harness.open_used(is_busy=True)
    assert fourth.close_reasons == [CloseReason.LIMIT]
    assert first.close_reasons == []
    harness.open_used(is_busy=True)
    evicted = [connection.close_reasons for connection in opened]
    assert evicted == [[CloseReason.LIMIT], [], [], [CloseReason.LIMIT]]


def test_connection_used_since_the_scan_is_not_evicted() -> None:
    """An eviction candidate that has been used since the scan is skipped."""
    harness = Harness(ConnectionLimits(max_connections=2))
    first = harness.open_used()
    harness.advance(1.0)
    second = harness.open_used()
    harness.open_used(is_busy=True)
    assert first.close_reasons
    second.update(is_busy=True, idle_since=None)
    assert not harness.manager.try_add(FakeConnection())
    assert second.close_reasons == []


def test_connection_is_refused_if_all_are_busy() -> None:
    """If every connection has a request in flight, a new one is refused and counted; later it is accepted."""
    harness = Harness()
    opened = [harness.open_used(is_busy=True) for _ in range(3)]
    refused = FakeConnection()
    assert not harness.manager.try_add(refused)
    harness.manager.remove(refused, CloseReason.CLIENT)
    statistics = harness.manager.statistics()
    assert (statistics.open_connections, statistics.max_connections) == (3, 3)
    assert statistics.closed_by_reason["refused"] == 1
    assert sum(statistics.closed_by_reason.values()) == 1
    opened[1].update(is_busy=False)
    harness.advance(0.25)
    harness.open()
    assert opened[1].close_reasons == [CloseReason.LIMIT]


def test_flood_of_connections_does_not_scan_for_each() -> None:
    """After a scan that found no idle connection, the next scan waits for `IDLE_SCAN_INTERVAL`."""
    harness = Harness(ConnectionLimits(max_connections=1))
    connection = harness.open_used(is_busy=True)
    assert not harness.manager.try_add(FakeConnection())
    connection.update(is_busy=False)
    assert not harness.manager.try_add(FakeConnection())
    harness.clock.advance(connections.IDLE_SCAN_INTERVAL)
    assert harness.manager.try_add(FakeConnection())


def test_each_connection_is_counted_once() -> None:
    """Open and closed connections add up to the number of accepted connections."""
    harness = Harness()
    opened = [harness.open() for _ in range(5)]
    for connection in opened:
        harness.manager.remove(connection, CloseReason.CLIENT)
        harness.manager.remove(connection, CloseReason.IDLE)
    statistics = harness.manager.statistics()
    assert statistics.open_connections == 0
    counts = {reason: count for reason, count in statistics.closed_by_reason.items() if count}
    assert counts == {"client": 3, "limit": 2}
    assert set(statistics.closed_by_reason) == {reason.value for reason in CloseReason}


def test_sweep_is_bounded() -> None:
    """One sweep checks a bounded number of connections, and the next sweep continues with the others."""
    harness = Harness(ConnectionLimits(max_connections=3 * SWEEP_BATCH_SIZE))
    opened = [harness.open() for _ in range(2 * SWEEP_BATCH_SIZE + 1)]
    harness.clock.advance(10.0)
    for closed in (SWEEP_BATCH_SIZE, 2 * SWEEP_BATCH_SIZE, 2 * SWEEP_BATCH_SIZE + 1):
        harness.manager.sweep()
        assert sum(bool(connection.close_reasons) for connection in opened) == closed


def test_received_requests_share_a_limit() -> None:
    """If all connections hold too many received bytes, unfinished requests are refused first, small ones never."""
    harness = Harness(ConnectionLimits(max_connections=10, received_bytes=100_000))
    complete, old, small, new = (
        harness.open(refusal_order=order) for order in ((True, -4.0), (False, 1.0), (False, 2.0), (False, 3.0))
    )
    for connection, count in ((complete, 40_000), (old, 40_000), (small, SMALL_REQUEST), (new, 20_001)):
        connection.update(received_bytes=count)
        harness.manager.received_bytes.add(count)
    reasons = [connection.close_reasons for connection in (complete, old, small, new)]
    assert reasons == [[], [CloseReason.RECEIVED_BYTES], [], []]


def test_evicted_connections_are_counted_until_they_are_closed() -> None:
    """Descriptors and memory of an evicted connection are free only when the event loop has closed it."""
    harness = Harness(ConnectionLimits(max_connections=1, unsent_bytes=100))
    first = harness.open()
    second = harness.open_used(stalled_since=1.0)
    assert (first.close_reasons, harness.manager.pending_evictions) == ([CloseReason.LIMIT], 1)
    assert not harness.manager.is_releasing_memory
    harness.manager.remove(first, CloseReason.CLIENT)
    assert harness.manager.pending_evictions == 0
    harness.manager.limits = ConnectionLimits(max_connections=2)
    third = harness.open_used(stalled_since=2.0)
    for connection in (second, third):
        connection.update(unsent_bytes=60)
        harness.manager.unsent_bytes.add(60)
    assert (second.close_reasons, harness.manager.is_releasing_memory) == ([CloseReason.UNSENT_BYTES], True)
    harness.manager.remove(second, CloseReason.CLIENT)
    assert not harness.manager.is_releasing_memory
    assert harness.manager.statistics().closed_by_reason == {
        **dict.fromkeys(map(str, CloseReason), 0),
        "limit": 1,
        "unsent_bytes": 1,
    }


def test_unsent_responses_share_a_limit() -> None:
    """If all connections hold too many unsent bytes, those that have not made progress for the longest are closed."""
    harness = Harness(ConnectionLimits(max_connections=10, unsent_bytes=100))
    slow, stalled = harness.open_used(stalled_since=20.0), harness.open_used(stalled_since=10.0)
    new = harness.open_used()
    for connection, count in ((slow, 20), (stalled, 50), (new, 40)):
        connection.update(unsent_bytes=count)
        harness.manager.unsent_bytes.add(count)
    reasons = [connection.close_reasons for connection in (slow, stalled, new)]
    assert reasons == [[], [CloseReason.UNSENT_BYTES], []]
