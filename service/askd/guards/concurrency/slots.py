"""The places: who has one, who waits for one, and when one that is given back is free."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from service.guards.limiter.standing import Standing

if TYPE_CHECKING:
    from service.guards.limiter.ticket import Ticket

STEP: Final = 0.001
"""Seconds for which calls may run until a place is only given back at the end of the loop's turn."""


class Places:
    """So many places. Tickets use it; nobody else does. Its numbers may be read from any thread.

    `soon` has a function called in the loop's next turn.
    """

    __slots__ = (
        "_returning", "_soon", "_spent", "abandoned", "changed", "clock", "delay_seconds", "delays", "done", "era",
        "in_flight", "integral", "late", "limit", "line", "lost", "peak", "queued", "shown", "standing", "stuck_since",
    )  # fmt: skip

    def __init__(
        self, limit: int, standing: Standing, clock: Callable[[], float], soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self.clock = clock
        self._soon = soon
        self.standing = standing
        self.limit = limit
        self.changed = clock()
        """When the limit last changed."""
        self.in_flight = 0
        self.queued = 0
        """Tickets that have neither entered nor left."""
        self.line: OrderedDict[Ticket, None] = OrderedDict()
        """Tickets that wait in `enter`, in the order in which they came there."""
        self.lost: deque[bool] = deque()
        """Tickets that were dropped without a word, and whether they had a place; any thread may add one."""
        self.abandoned = 0
        self.stuck_since: float | None = None
        self.peak = 0
        """Most in flight since the limit was last judged."""
        self.era = 0
        """How often the limit has changed."""
        self.shown = False
        """Whether a call has ended that began after the limit last changed."""
        self.done = 0
        """Calls that have ended."""
        self.late = 0
        self.delays = 0
        self.delay_seconds = 0.0
        self.integral = (0.0, self.changed, 0)
        """Place-seconds until a time, that time, and the places taken since; one object, so that it is read whole."""
        self._spent = 0.0
        self._returning = 0

    def take(self, now: float) -> None:
        """Take a place; there must be one."""
        total, since, places = self.integral
        self.in_flight = taken = self.in_flight + 1
        self.integral = (total + places * (now - since), now, taken)
        if taken > self.peak:  # noqa: PLR1730 - a call of max costs four times as much, for each question
            self.peak = taken
        self.queued -= 1
        if not self.queued:
            self.standing.emptied = True

    def begin(self, delay: float) -> None:
        """Note that code begins now whose question arrived so many seconds ago."""
        self.delays += 1
        self.delay_seconds += delay
        if delay < self.standing.least:  # noqa: PLR1730 - as above
            self.standing.least = delay

    def end(self, era: int, ran: float, now: float) -> None:
        """Give back a place whose code ran for so many seconds: at once, or at the end of the turn."""
        self.done += 1
        if era == self.era:
            self.shown = True
        self._spent += ran
        if self._spent < STEP:
            self.free(1, now)
            return
        self._returning += 1
        if self._returning == 1:
            self._soon(self._next_turn)

    def free(self, places: int, now: float) -> None:
        """Free places, and hand them over to who waits."""
        total, since, taken = self.integral
        self.in_flight -= places
        self.integral = (total + taken * (now - since), now, self.in_flight)
        if self.line:
            self.hand_over(now)

    def hand_over(self, now: float) -> None:
        """Give free places to the first in line; who is past the deadline gets none."""
        while self.line and self.in_flight < self.limit:
            ticket, _ = self.line.popitem(last=False)
            ticket.called(now)

    def leave_line(self, ticket: "Ticket") -> None:
        """Forget a ticket that has no place, whether it waits already or not."""
        self.queued -= 1
        self.line.pop(ticket, None)
        if not self.queued:
            self.standing.emptied = True

    def recover(self, now: float) -> None:
        """Take back what dropped tickets had."""
        while self.lost:
            if self.lost.popleft():
                self.free(1, now)
            else:
                self.queued -= 1

    def resize(self, limit: int, now: float) -> None:
        """Have so many places from now on; what is in flight beyond goes on, and its places go when it ends."""
        if limit != self.limit:
            self.limit = limit
            self.changed = now
            self.era += 1
            self.shown = False
            self.see_stuck(now)
            self.hand_over(now)

    def see_stuck(self, now: float) -> None:
        """Note since when abandoned calls have held every place."""
        if self.abandoned < self.limit:
            self.stuck_since = None
        elif self.stuck_since is None:
            self.stuck_since = now

    def seconds(self, now: float) -> float:
        """Integral of the places taken over time."""
        total, since, places = self.integral
        return total + places * max(now - since, 0.0)

    def _next_turn(self) -> None:
        self._spent = 0.0
        places, self._returning = self._returning, 0
        self.free(places, self.clock())
