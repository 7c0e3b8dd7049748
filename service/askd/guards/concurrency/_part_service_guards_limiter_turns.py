"""How late the loop is, for the limit that finds itself."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.guards.limiter.limiter import Limiter

TICK: Final = 0.01
"""Seconds between samples while the limiter is busy: ten in an interval, for about 0.3 % of a CPU."""
IDLE: Final = 0.1
"""Seconds between looks at whether it is."""
QUIET: Final = 50
"""Ticks for which samples go on after it was busy: a loop is on time between calls, and that has to be seen."""
ENOUGH: Final = 0.05
"""Seconds by which a timer is so late that there is nothing to add: the next turns may take as long."""


async def watch(limiter: "Limiter", *, clock: Callable[[], float] = time.monotonic) -> None:
    """Tell the limiter how late the loop is until cancelled; returns at once where the limit is a number.

    Late is what comes after its time: a timer, where a thread has the interpreter or the loop is in a long turn; or the
    turn after the next, where a long one is always followed by a short one, in which places change hands.
    """
    quiet = QUIET
    while limiter.auto:
        quiet = 0 if limiter.busy else quiet + 1
        due = clock() + (TICK if quiet < QUIET else IDLE)
        await asyncio.sleep(due - clock())
        if quiet >= QUIET:
            continue
        door, began = limiter.door, clock()
        worst = max(began - due, 0.0)
        for _ in range(2 if worst < ENOUGH else 0):
            await asyncio.sleep(0)
            now = clock()
            worst, began = max(worst, now - began), now
        limiter.lag(worst, door=limiter.door - door)
