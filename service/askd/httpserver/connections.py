"""Connection limits: which connections are closed, when and why, and which are evicted at the connection limit.

A periodic sweep checks all connections four times a second, so that no request sets or renews a timer. The manager
performs no I/O: a connection is any object that implements `ManagedConnection`, and the clock and the random numbers
are injected. It is not thread-safe, except for `statistics`.
"""

import enum
import random
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from askd.drain_state import DrainState
from askd.httpserver.shared_limit import SharedByteLimit

DEADLINE_GRACE: Final = 1.0
"""Seconds after the deadline of a request before its connection is closed, so that the normal 504 is sent first."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a connection may take to close after the last byte is sent: TLS waits for the client's close_notify."""
MAX_AGE_JITTER: Final = 0.1
"""Relative jitter of the maximum age, so that connections opened together are not all closed together."""
SWEEP_BATCH_SIZE: Final = 5000
"""Connections checked per sweep. Limits a sweep to a few milliseconds; the next sweep continues with the rest."""
SMALL_REQUEST: Final = 4096
"""Bytes up to which a request does not count: refusing it would free little."""
IDLE_SCAN_INTERVAL: Final = 0.05
"""Minimum seconds between two scans for idle connections, so that a flood of new connections does not scan for each."""


class CloseReason(enum.StrEnum):
    """Reason why a connection was closed."""

    CLIENT = "client"
    """The client closed it, or asked for it to be closed."""
    IDLE = "idle"
    HEADER_TIMEOUT = "header_timeout"
    BODY_TIMEOUT = "body_timeout"
    WRITE_TIMEOUT = "write_timeout"
    DEADLINE = "deadline"
    AGE = "age"
    LIMIT = "limit"
    """Evicted to make room for a new connection."""
    RECEIVED_BYTES = "received_bytes"
    """Refused because all connections together hold too many bytes of requests."""
    UNSENT_BYTES = "unsent_bytes"
    """Evicted because all connections together hold too many bytes that their clients do not read."""
    REFUSED = "refused"
    """Refused because the connection limit was reached."""
    MALFORMED = "malformed"
    UNREAD_BODY = "unread_body"
    """The response was sent without reading the request body, and the rest of the body did not arrive in time."""
    FAILED = "failed"
    """An internal error."""
    SHED = "shed"
    """Its first request was shed as soon as it was accepted."""
    DRAIN = "drain"


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Maximum number of connections, of bytes that all of them hold, and their timeouts in seconds.

    `received_bytes` limits requests that have no response yet, `unsent_bytes` responses. `max_age` 0 disables the
    maximum age.
    """

    max_connections: int = 1000
    received_bytes: int = 32 << 20
    unsent_bytes: int = 32 << 20
    header_timeout: float = 10.0
    write_timeout: float = 20.0
    keepalive_timeout: float = 75.0
    max_age: float = 300.0


class ConnectionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Number of open connections, their limit, and the number of closed connections by reason."""

    open_connections: int
    max_connections: int
    closed_by_reason: Mapping[str, int]


class ManagedConnection(Protocol):
    """A connection as the manager sees it. All times are readings of the manager's clock.

    The manager writes the attributes up to `stalled_since`; the connection only resets `idle_since`.
    """

    expires_at: float
    """Time at which the connection reaches its maximum age."""
    idle_since: float | None
    """Time since which no request is in flight and no byte is unsent. The connection sets it to None when a request
    starts."""
    close_after_response_reason: CloseReason | None
    """Reason why the connection closes after its next response, or None to keep it open."""
    flushed_bytes: int
    """Bytes accepted by the client at the last time when it made progress."""
    stalled_since: float | None
    """Time of that progress, while bytes are unsent."""

    deadline: float | None
    """Deadline of the request in flight, or None without one. The manager resets it after the request."""

    @property
    def headers_started_at(self) -> float | None:
        """Arrival time of the first byte of a request whose headers are incomplete, or None."""

    @property
    def has_received_request(self) -> bool:
        """Whether the connection has ever received a complete request."""

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight."""

    @property
    def is_closing(self) -> bool:
        """Whether the connection closes as soon as all bytes are sent."""

    @property
    def written_bytes(self) -> int:
        """Bytes written so far, including those still buffered."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are written but not yet sent."""

    @property
    def unsent_bytes(self) -> int:
        """Memory of the writes that are not sent in full. Only counted while the write buffer is full."""

    @property
    def received_bytes(self) -> int:
        """Bytes received of an unfinished head, of the request in flight, and of requests that wait for it."""

    @property
    def refusal_order(self) -> tuple[bool, float]:
        """Sort key of the order in which requests are refused if all of them hold too many bytes."""

    def close_with_reason(self, reason: CloseReason) -> None:
        """Close the connection. Must not call back into the manager."""


class ConnectionManager:
    """Tracks all open connections and closes those that exceed a limit.

    Args:
        limits: The limits.
        drain_state: Set by `drain`; shared with the probes. None creates one.
        clock: Returns seconds on a monotonic clock.
        random_float: Returns random numbers from 0 to 1, for the jitter of the maximum age.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        *,
        drain_state: DrainState | None = None,
        clock: Callable[[], float] = time.monotonic,
        random_float: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self._random_float = random_float
        self._drain_state = drain_state or DrainState()
        self._connections: dict[ManagedConnection, None] = {}  # oldest first
        # All connections without a complete request, and some that have received one since; oldest first.
        self._possibly_unused: dict[ManagedConnection, None] = {}
        self._sweep_backlog: list[ManagedConnection] = []  # not yet checked by the current round of sweeps
        self._eviction_candidates: list[tuple[float, ManagedConnection]] = []  # longest idle last
        self._next_idle_scan_at = float("-inf")
        self._evicted: dict[ManagedConnection, CloseReason] = {}  # not closed yet
        self.received_bytes = SharedByteLimit[ManagedConnection](
            limits.received_bytes,
            lambda: self._connections,
            held_bytes=lambda connection: held if (held := connection.received_bytes) > SMALL_REQUEST else 0,
            order=lambda connection: connection.refusal_order,
            evict=lambda connection: connection.close_with_reason(CloseReason.RECEIVED_BYTES),
        )
        """Limit of the bytes received of requests that have no response yet."""
        self.unsent_bytes = SharedByteLimit[ManagedConnection](
            limits.unsent_bytes,
            lambda: self._connections,
            held_bytes=lambda connection: connection.unsent_bytes,
            order=lambda connection: (False, connection.stalled_since or float("inf")),
            evict=lambda connection: self._evict(connection, CloseReason.UNSENT_BYTES),
        )
        """Limit of the bytes that are written but not sent."""
        # Complete from the start: other threads iterate over it, and must not see its size change.
        self._closed_by_reason = dict.fromkeys(CloseReason, 0)

    def try_add(self, connection: ManagedConnection) -> bool:
        """Register a new connection, evicting another one if necessary.

        Returns:
            False if the limit is reached and no connection can be evicted; the caller must close the new connection.
        """
        now = self.clock()
        if len(self._connections) >= self.limits.max_connections and not self._evict_one(now):
            self._closed_by_reason[CloseReason.REFUSED] += 1
            return False
        connection.idle_since = now
        connection.expires_at = (
            now + self.limits.max_age * (1 + MAX_AGE_JITTER * (2 * self._random_float() - 1))
            if self.limits.max_age
            else float("inf")
        )
        connection.close_after_response_reason = CloseReason.DRAIN if self._drain_state.is_draining else None
        connection.flushed_bytes, connection.stalled_since = 0, None
        self._connections[connection] = self._possibly_unused[connection] = None
        return True

    def all(self) -> list[ManagedConnection]:
        """Return the open connections, oldest first."""
        return list(self._connections)

    @property
    def pending_evictions(self) -> int:
        """Number of evicted connections whose descriptors are not free yet, because the event loop closes them."""
        return len(self._evicted)

    @property
    def is_releasing_memory(self) -> bool:
        """Whether connections with unsent bytes were evicted, and their memory is not free yet."""
        return CloseReason.UNSENT_BYTES in self._evicted.values()

    def remove(self, connection: ManagedConnection, reason: CloseReason) -> None:
        """Unregister a closed connection. Evicted and refused connections are already counted."""
        self._evicted.pop(connection, None)
        self._possibly_unused.pop(connection, None)
        if connection in self._connections:
            del self._connections[connection]
            self._closed_by_reason[reason] += 1

    def drain(self) -> None:
        """Close every connection, including new ones, after its next response."""
        self._drain_state.is_draining = True
        for connection in self._connections:
            connection.close_after_response_reason = CloseReason.DRAIN

    def sweep(self) -> None:
        """Close the connections that have exceeded a limit."""
        now = self.clock()
        self._eviction_candidates.clear()
        self._sweep_backlog = self._sweep_backlog or list(self._connections)
        batch = self._sweep_backlog[-SWEEP_BATCH_SIZE:]
        del self._sweep_backlog[-SWEEP_BATCH_SIZE:]
        for connection in batch:
            if connection in self._connections and (reason := self._reason_to_close(connection, now)):
                # The close timeout starts when the connection is closed, not when it became idle.
                connection.idle_since = None
                connection.close_with_reason(reason)

    def statistics(self) -> ConnectionStatistics:
        """Return the current counts. Safe to call from any thread."""
        return ConnectionStatistics(
            open_connections=len(self._connections),
            max_connections=self.limits.max_connections,
            closed_by_reason={reason.value: count for reason, count in self._closed_by_reason.items()},
        )

    def _reason_to_close(self, connection: ManagedConnection, now: float) -> CloseReason | None:
        """Update the state of a connection, and return the reason to close it, or None to keep it open."""
        buffered = connection.buffered_bytes
        if buffered and self._is_write_stalled(connection, buffered, now):
            return CloseReason.WRITE_TIMEOUT
        if now >= connection.expires_at and connection.close_after_response_reason is None:
            connection.close_after_response_reason = CloseReason.AGE
        if buffered or connection.is_busy:
            connection.idle_since = None
            overdue = connection.deadline is not None and now > connection.deadline + DEADLINE_GRACE
            return CloseReason.DEADLINE if overdue else None
        connection.deadline = connection.stalled_since = None
        if connection.idle_since is None:
            connection.idle_since = now
        return self._reason_to_close_idle(connection, connection.idle_since, now)

    def _is_write_stalled(self, connection: ManagedConnection, buffered: int, now: float) -> bool:
        """Return whether the client has accepted no byte for the write timeout."""
        # The buffer size does not show progress: the server may write faster than the client reads.
        flushed = connection.written_bytes - buffered
        if connection.stalled_since is None or flushed > connection.flushed_bytes:
            connection.flushed_bytes, connection.stalled_since = flushed, now
        return now - connection.stalled_since >= self.limits.write_timeout

    def _reason_to_close_idle(self, connection: ManagedConnection, idle_since: float, now: float) -> CloseReason | None:
        if connection.is_closing:
            return CloseReason.WRITE_TIMEOUT if now - idle_since >= CLOSE_TIMEOUT else None
        is_used, headers_started_at = connection.has_received_request, connection.headers_started_at
        if is_used:
            self._possibly_unused.pop(connection, None)
        if headers_started_at is not None or not is_used:
            # Headers that arrived while the previous request was in flight get the full timeout after it.
            started_at = idle_since if headers_started_at is None else max(headers_started_at, idle_since)
            return CloseReason.HEADER_TIMEOUT if now - started_at >= self.limits.header_timeout else None
        return CloseReason.IDLE if now - idle_since >= self.limits.keepalive_timeout else None

    def _evict_one(self, now: float) -> bool:
        """Evict the oldest connection that never sent a complete request, else the longest idle one."""
        # A flood of silent connections (Slowloris) must not evict clients that keep their connections alive.
        while self._possibly_unused:
            connection = next(iter(self._possibly_unused))
            del self._possibly_unused[connection]
            if not connection.has_received_request:
                return self._evict(connection, CloseReason.LIMIT)
        if not self._eviction_candidates and now >= self._next_idle_scan_at:
            self._next_idle_scan_at = now + IDLE_SCAN_INTERVAL
            self._eviction_candidates = self._find_idle(now)
        while self._eviction_candidates:
            idle_since, connection = self._eviction_candidates.pop()
            # A connection that was used since the scan has another `idle_since`.
            if connection in self._connections and connection.idle_since == idle_since and not connection.is_busy:
                return self._evict(connection, CloseReason.LIMIT)
        return False

    def _find_idle(self, now: float) -> list[tuple[float, ManagedConnection]]:
        """Return all idle connections, longest idle last."""
        idle = [
            connection
            for connection in self._connections
            if not (connection.is_busy or connection.buffered_bytes or connection.is_closing)
        ]
        for connection in idle:
            connection.idle_since = now if connection.idle_since is None else connection.idle_since
        candidates = ((connection.idle_since or now, connection) for connection in idle)
        return sorted(candidates, key=lambda candidate: -candidate[0])

    def _evict(self, connection: ManagedConnection, reason: CloseReason) -> bool:
        self.remove(connection, reason)
        self._evicted[connection] = reason
        connection.close_with_reason(reason)
        return True
