"""Shared limit: a bound on the bytes that all connections hold together for one purpose."""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

ConnectionT = TypeVar("ConnectionT")

TARGET_SHARE: Final = 0.75
"""Share of the limit to which the bytes are reduced, so that the next scan is not due before a quarter has arrived."""


class SharedByteLimit(Generic[ConnectionT]):
    """Evicts connections while they hold more bytes than the limit.

    The sum is not updated when bytes are released. It is an upper bound, and the connections are scanned when it
    exceeds the limit.

    Args:
        limit: Maximum of bytes. A single connection may hold more.
        connections: Returns all connections.
        held_bytes: Returns the bytes that a connection holds.
        order: Returns the sort key of a connection; the one with the smallest key is evicted first, the last one never.
        evict: Closes a connection.
    """

    def __init__(
        self,
        limit: int,
        connections: Callable[[], Iterable[ConnectionT]],
        *,
        held_bytes: Callable[[ConnectionT], int],
        order: Callable[[ConnectionT], tuple[bool, float]],
        evict: Callable[[ConnectionT], object],
    ) -> None:
        self.limit = limit
        self._connections = connections
        self._held_bytes, self._order, self._evict = held_bytes, order, evict
        self._upper_bound = 0

    def add(self, added_bytes: int) -> None:
        """Record that a connection holds more bytes, and evict others if all hold too many."""
        self._upper_bound += added_bytes
        if self._upper_bound > self.limit:
            self._scan()

    def _scan(self) -> None:
        holders = [(held, connection) for connection in self._connections() if (held := self._held_bytes(connection))]
        holders.sort(key=lambda holder: self._order(holder[1]))
        total = sum(held for held, _ in holders)
        for held, connection in holders[:-1]:
            if total <= self.limit * TARGET_SHARE:
                break
            self._evict(connection)
            total -= held
        self._upper_bound = min(total, int(self.limit * TARGET_SHARE))
