"""An event loop that tests run one iteration at a time, on a simulated clock."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

from tests.support.fakes import Clock


class ManualLoop(asyncio.SelectorEventLoop):
    """Event loop on the test's clock. `unhandled_errors` collects what it would have logged."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.unhandled_errors: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.unhandled_errors.append(context))

    def time(self) -> float:
        """Return the time of the clock."""
        return self._clock()

    def run_once(self) -> None:
        """Run one iteration: the ready callbacks and the timers that are due."""
        self.call_soon(self.stop)
        self.run_forever()

    def run_until_idle(self) -> None:
        """Run until no callback is ready."""
        self.run_once()
        while self._ready:  # type: ignore[attr-defined] # the queue of asyncio.BaseEventLoop
            self.run_once()

    def close_checked(self) -> None:
        """Close the loop, and check that no task and no unhandled error is left."""
        self.run_until_idle()
        pending_tasks = asyncio.all_tasks(self)
        gc.collect(1)  # generation 1 covers all that is as young as this loop, and is much faster than a full run
        self.close()
        assert (pending_tasks, self.unhandled_errors) == (set(), [])
