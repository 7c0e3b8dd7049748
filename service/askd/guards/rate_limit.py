"""The rate: how often one client may ask.

The generic cell rate algorithm, in its form of virtual scheduling (ITU-T I.371, annex A; ATM Forum, Traffic Management
4.1, section 4.4.2): for each client one number is kept, the theoretical arrival time, until which what it asked so far
is paid off at the rate. What lies in the future of it is the client's debt. A question adds the time that the rate has
for one; it is let through while the debt stays within that of the burst. That this suits HTTP, and yields what header
fields tell as a by-product, was shown by the library "throttled" (A. Metcalf, B. Leach).

The table is bounded. A client without a debt is as good as one that was never seen, so those are dropped first, a few
at each newcomer. When all have debts, the one with the least makes room, and the newcomer begins with the debt of
whom it replaces: Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005), with debts for counts. The least debt never
moves back in time, so that who was dropped never comes back with less than it owed: no number of addresses gains
anything by the bound. What it costs: while more clients than `clients` have debts, newcomers may be held to less than
their rate. All together then still get `clients` times the rate.

Pure: what a client is, and what is done with a refusal, is settled elsewhere. Not for several threads, but for
`statistics`.
"""

import heapq
import math
import time
from collections.abc import Callable
from typing import Final

import msgspec

from service import units

CLIENTS: Final = 1 << 16
"""Clients with a debt that are told apart: about 13 MB, measured with IPv6 networks."""
SLICES: Final = 64
"""Parts of a whole burst's debt: the table tells debts apart by so much, and rounds an inherited one up by one part."""
SWEEP: Final = 4
"""Clients without a debt that are dropped at once, at most: more than come, so that the table shrinks again."""
ROUNDING: Final = 1e-6
"""Part of a question that is given away, lest a client exactly at the rate is refused for the rounding of a float."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one question. `limit` and `remaining` are questions at once, before and after this one.

    `reset` is in how many seconds `limit` is reached again, `retry_after` in how many one question is; 0: now.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class RateStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted until now: questions, clients in the table, and clients that made room in spite of a debt."""

    allowed: int
    refused: int
    clients: int
    evictions: int


class Quota:
    """A rate and a burst, and what a debt means by them. `burst` None: as many questions as the rate has in its time.

    `gap` is the seconds that the rate has for one question, `depth` the debt in seconds of a whole burst.
    """

    def __init__(self, rate: units.Rate, burst: int | None) -> None:
        self.rate = rate
        self.burst = rate.number if burst is None else burst
        self.gap = rate.seconds / rate.number
        self.depth = self.burst * self.gap
        self.most = self.depth + ROUNDING * self.gap
        """The debt, in seconds, that no question may exceed."""

    def verdict(self, debt: float, *, allowed: bool) -> Verdict:
        """Return what to say to a client that owes `debt` seconds now, with this question if it was `allowed`."""
        left = (self.depth - debt) / self.gap
        return Verdict(
            allowed=allowed,
            limit=self.burst,
            remaining=max(int(left + ROUNDING), 0),
            reset=max(debt, 0.0),
            retry_after=max((1.0 - left) * self.gap, 0.0),
        )


class Rate:
    """Holds each client to the rate. `clients` bounds how many are told apart; `clock` returns seconds that only rise.

    `burst` None: as many questions at once as the rate has in its time.
    """

    def __init__(
        self,
        rate: units.Rate,
        burst: int | None = None,
        *,
        clients: int = CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quota = Quota(rate, burst)
        self.waits = False
        self._clock = clock
        self._table = _Table(clients, self.quota.depth / SLICES)
        self._allowed = self._refused = 0

    def take(self, key: str) -> Verdict:
        """Count a question of this client, if it may ask it."""
        now = self._clock()
        quota, table = self.quota, self._table
        due = table.due.get(key)
        debt = max((table.newcomer(now) if due is None else due) - now, 0.0)
        if debt + quota.gap > quota.most:
            self._refused += 1
            return quota.verdict(debt, allowed=False)
        debt += quota.gap
        table.put(key, now + debt, now)
        self._allowed += 1
        return quota.verdict(debt, allowed=True)

    def statistics(self) -> RateStatistics:
        """Return what is counted now; safe from any thread."""
        table = self._table
        return RateStatistics(
            allowed=self._allowed, refused=self._refused, clients=len(table.due), evictions=table.evictions
        )


class _Table:
    """Theoretical arrival times by client, and the clients by slices of `width` seconds of these, the earliest first.

    Slices instead of an order of each client: a question mostly leaves its client where it is, or moves it by one
    slice, so that every step here costs the same however many clients there are.
    """

    def __init__(self, size: int, width: float) -> None:
        self.due: dict[str, float] = {}
        self.evictions = 0
        self._size = size
        self._width = width
        self._slices: dict[int, dict[str, None]] = {}
        self._order: list[int] = []  # a heap of the numbers of the slices, empty ones included

    def newcomer(self, now: float) -> float:
        """Return when the debt of a client is paid off that is not in the table: the debt of who makes room for it."""
        return now if len(self.due) < self._size else self._end(self._earliest())

    def put(self, key: str, due: float, now: float) -> None:
        """Keep a client's time, which is later than its last."""
        number = int(due / self._width)
        before = self.due.get(key)
        if before is None:
            self._make_room(now)
        elif (old := int(before / self._width)) == number:
            self.due[key] = due
            return
        else:
            del self._slices[old][key]
        self.due[key] = due
        if number in self._slices:
            self._slices[number][key] = None
        else:
            self._slices[number] = {key: None}
            heapq.heappush(self._order, number)
            self._sweep(now)  # here too, or one busy client would leave slice after slice behind it

    def _make_room(self, now: float) -> None:
        self._sweep(now)
        if len(self.due) >= self._size:
            self.evictions += 1
            self._drop(self._earliest())

    def _sweep(self, now: float) -> None:
        """Drop a few clients that owe nothing any more."""
        for _ in range(SWEEP):
            if self.due and self._end(earliest := self._earliest()) <= now:
                self._drop(earliest)

    def _drop(self, number: int) -> None:
        key, _ = self._slices[number].popitem()
        del self.due[key]

    def _earliest(self) -> int:
        """Return the number of the earliest slice with a client in it; the table must not be empty."""
        while not self._slices[self._order[0]]:
            del self._slices[heapq.heappop(self._order)]
        return self._order[0]

    def _end(self, number: int) -> float:
        return (number + 1) * self._width


def whole_seconds(seconds: float) -> int:
    """Return whole seconds, rounded up, for header fields that know no others."""
    return math.ceil(round(seconds, 6))
