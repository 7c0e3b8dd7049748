"""Connections: which of them are closed, when and why, and which make room where there are too many.

One sweep looks at all of them every quarter of a second, so that nothing on a request's way sets or renews a timer.
Pure: a connection is whatever has what `Line` lists; time and chance are injected. Not for several threads, but for
`statistics`.
"""

import enum
import random
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

GRACE: Final = 1.0
"""Seconds after an exchange's due time in which the code and the client may still end it by themselves."""
CLOSES_WITHIN: Final = 2.0
"""Seconds that a connection may take to close once all has been sent: over TLS the client has a word in it."""
AGE_SPREAD: Final = 0.1
"""Share by which ages differ, up and down: what came together must not leave together."""
BATCH: Final = 5000
"""Connections that one sweep looks at, so that it never takes longer than a few milliseconds; the next goes on."""
SCAN_PAUSE: Final = 0.05
"""Seconds between two searches for idle connections: a flood of new ones must not search for each."""


class Reason(enum.StrEnum):
    """Why a connection ended."""

    CLIENT = "client"
    """The client closed it or wanted it closed."""
    IDLE = "idle"
    HEADER_TIMEOUT = "header_timeout"
    BODY_TIMEOUT = "body_timeout"
    WRITE_TIMEOUT = "write_timeout"
    DEADLINE = "deadline"
    AGE = "age"
    LIMIT = "limit"
    """It made room for another."""
    REFUSED = "refused"
    """There was no room for it."""
    MALFORMED = "malformed"
    UNREAD = "unread"
    """The request's body was not wanted, and its rest did not come in time."""
    FAILED = "failed"
    """An error of askd's own."""
    DRAIN = "drain"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many connections may be open, and for how many seconds each may do what; `age` 0: there is no end."""

    most: int = 1000
    header: float = 10.0
    write: float = 20.0
    keepalive: float = 75.0
    age: float = 300.0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Connections open now, how many may be, and how many have been closed by reason."""

    open: int
    most: int
    closed: Mapping[str, int]


class Line(Protocol):
    """One connection. Times are the clock's; the guard writes the first group, and only reads the others."""

    opened: float
    ends: float
    """When it is too old."""
    free: float | None
    """Since when nothing is asked and nothing unsent; None: not so, or not since the last sweep. Others write None."""
    last: Reason | None
    """Why the next answer is to be the last, or None."""
    taken: int
    """Bytes that the client had taken when it last took some while others waited."""
    stuck: float | None
    """When that was, while bytes are unsent."""

    due: float | None
    """When the exchange must have ended; None: whenever. The guard clears it when it has."""

    @property
    def head(self) -> float | None:
        """When the first byte of a request came whose headers are not complete."""

    @property
    def asked(self) -> bool:
        """Whether a whole request has ever come."""

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way."""

    @property
    def closing(self) -> bool:
        """Whether it closes as soon as all has been sent."""

    @property
    def sent(self) -> int:
        """Bytes that were sent until now, or wait to be."""

    @property
    def unsent(self) -> int:
        """How many of them the client has not made room for."""

    def end(self, reason: Reason) -> None:
        """Close it; must not call back."""


class Connections:
    """Knows every open connection. `chance` returns random numbers from 0 to 1."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self._chance = chance
        self._draining = False
        self._open: dict[Line, None] = {}  # in the order in which they came
        self._silent: dict[Line, None] = {}  # of those, all that have asked nothing yet, and some that have
        self._unseen: list[Line] = []  # those that the sweep under way has still to look at
        self._idlest: list[tuple[float, Line]] = []  # what the last search for idle ones found, longest idle last
        self._next_scan = float("-inf")
        self._closed = dict.fromkeys(Reason, 0)

    def opened(self, line: Line) -> bool:
        """Take a new connection in, for which another may have to go. False: there is no room for it; close it."""
        now = self.clock()
        if len(self._open) >= self.limits.most and not self._make_room(now):
            self._closed[Reason.REFUSED] += 1
            return False
        line.opened = line.free = now
        line.ends = (
            now + self.limits.age * (1 + AGE_SPREAD * (2 * self._chance() - 1)) if self.limits.age else float("inf")
        )
        line.last = Reason.DRAIN if self._draining else None
        line.taken, line.stuck = 0, None
        self._open[line] = self._silent[line] = None
        return True

    def closed(self, line: Line, reason: Reason) -> None:
        """Take note that a connection has ended; one that made room, or had none, is counted already."""
        self._silent.pop(line, None)
        if line in self._open:
            del self._open[line]
            self._closed[reason] += 1

    def drain(self) -> None:
        """Let every connection end with its next answer, new ones too."""
        self._draining = True
        for line in self._open:
            line.last = Reason.DRAIN

    def sweep(self) -> None:
        """Close what must be closed by now."""
        now = self.clock()
        self._idlest.clear()
        self._unseen = self._unseen or list(self._open)
        batch = self._unseen[-BATCH:]
        del self._unseen[-BATCH:]
        for line in batch:
            if line in self._open and (reason := self._fault(line, now)):
                line.free = None
                line.end(reason)

    def statistics(self) -> Statistics:
        """Return what is counted now; safe from any thread."""
        return Statistics(
            open=len(self._open),
            most=self.limits.most,
            closed={reason.value: count for reason, count in self._closed.items()},
        )

    def _fault(self, line: Line, now: float) -> Reason | None:
        """Say why a connection must be closed, or None; keep the books of it."""
        unsent = line.unsent
        if unsent and self._is_stuck(line, unsent, now):
            return Reason.WRITE_TIMEOUT
        if now >= line.ends and line.last is None:
            line.last = Reason.AGE
        if unsent or line.busy:
            line.free = None
            return Reason.DEADLINE if line.due is not None and now > line.due + GRACE else None
        line.due = line.stuck = None
        if line.free is None:
            line.free = now
        return self._overstays(line, line.free, now)

    def _is_stuck(self, line: Line, unsent: int, now: float) -> bool:
        """Say whether the client has taken nothing of what waits for it for too long."""
        taken = line.sent - unsent
        if line.stuck is None or taken > line.taken:
            line.taken, line.stuck = taken, now
        return now - line.stuck >= self.limits.write

    def _overstays(self, line: Line, free: float, now: float) -> Reason | None:
        """Judge a connection on which no exchange is under way."""
        if line.closing:
            return Reason.WRITE_TIMEOUT if now - free >= CLOSES_WITHIN else None
        asked, head = line.asked, line.head
        if asked:
            self._silent.pop(line, None)
        if head is not None or not asked:
            begun = free if head is None or head < free else head
            return Reason.HEADER_TIMEOUT if now - begun >= self.limits.header else None
        return Reason.IDLE if now - free >= self.limits.keepalive else None

    def _make_room(self, now: float) -> bool:
        """End the oldest connection that never asked a whole question, else the one that is idle for longest."""
        while self._silent:
            line = next(iter(self._silent))
            del self._silent[line]
            if not line.asked:
                return self._evict(line)
        if not self._idlest and now >= self._next_scan:
            self._next_scan = now + SCAN_PAUSE
            self._idlest = self._scan(now)
        while self._idlest:
            since, line = self._idlest.pop()
            if line in self._open and line.free == since and not line.busy:
                return self._evict(line)
        return False

    def _scan(self, now: float) -> list[tuple[float, Line]]:
        """Return all idle connections, longest idle last."""
        idle = [line for line in self._open if not (line.busy or line.unsent or line.closing)]
        for line in idle:
            line.free = now if line.free is None else line.free
        return sorted(((line.free or now, line) for line in idle), key=lambda found: -found[0])

    def _evict(self, line: Line) -> bool:
        self.closed(line, Reason.LIMIT)
        line.end(Reason.LIMIT)
        return True
