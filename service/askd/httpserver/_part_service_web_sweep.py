"""The sweep: looks at all connections of a server every quarter of a second."""

import asyncio
from collections.abc import Callable
from typing import Final

EVERY: Final = 0.25
"""Seconds between two sweeps: so much later than its time may a connection be closed."""


class Sweep:
    """Does its `work` again and again, from `start` to `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
        self._loop = loop
        self._work = work
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Do the first in a moment."""
        self._timer = self._loop.call_later(EVERY, self._tick)

    def stop(self) -> None:
        """Do no more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Let the loop read from all sockets first: after a stall, requests may wait there unseen.

        A loop runs what is due before it looks at its sockets: two turns later it has done so.
        """
        self.start()
        self._loop.call_soon(self._loop.call_soon, self._sweep)

    def _sweep(self) -> None:
        if self._timer:
            self._work()
