"""An event loop that a test turns by hand, in time of its own."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

from tests.fakes import Clock


class HandLoop(asyncio.SelectorEventLoop):
    """Runs when told to, one turn after another; its time is the clock's. `complaints` is what it would have logged."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._by_hand = clock
        self.complaints: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.complaints.append(context))

    def time(self) -> float:
        """Tell the clock's time."""
        return self._by_hand()

    def turn(self) -> None:
        """Run once what is ready now, and the timers that are due."""
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """Turn until nothing more happens by itself."""
        self.turn()
        while self._ready:  # type: ignore[attr-defined] # what asyncio.BaseEventLoop has not run yet
            self.turn()

    def end(self) -> None:
        """Close, when nothing is left: no task, nor an error that nobody looked at."""
        self.settle()
        left = asyncio.all_tasks(self)
        gc.collect(1)  # what is as young as the loop, in a fraction of the time for all
        self.close()
        assert (left, self.complaints) == (set(), [])
