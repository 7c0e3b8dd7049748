"""What the limiter counts, and what it tells those whom it turns away."""

import random
from collections.abc import Callable

import msgspec


class LimiterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The limiter now, and what it has done until now; each shed question is counted under one reason."""

    limit: int
    """Places."""
    unchanged: float
    """Seconds since the limit last changed."""
    in_flight: int
    """Places that are taken, those of abandoned calls included."""
    waiting: int
    """Questions that have been admitted and have no place yet."""
    queue: int
    """Questions that may wait now: the setting, or less while the queue stands."""
    abandoned: int
    """Places whose code goes on although nobody waits for it any more."""
    admitted: int
    shed_queue_full: int
    """Turned away because as many waited as may."""
    shed_overloaded: int
    """Turned away because the queue's delay stays over the budget."""
    shed_late: int
    """Admitted, and never begun: past their deadline in the queue, or at the end of a drain."""
    inflight_seconds: float
    """Integral of the places taken over time; never falls. Its rate is the mean number in flight (Little's law)."""
    delays: int
    """Questions whose code has begun."""
    delay_seconds: float
    """What these waited in all, from their arrival to their code's start."""


def retry_after(draw: Callable[[], float] = random.random) -> int:
    """Return 1, 2 or 3 seconds by chance, so that those turned away together do not come back together.

    `draw` gives numbers from 0 up to and without 1.
    """
    return 1 + int(3 * draw())
