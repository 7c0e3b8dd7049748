"""A blocking call that a test observes and releases."""

import asyncio
import threading


class BlockingCall:
    """A callable that sets `started` and blocks until `release` is set."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.started = asyncio.Event()
        self.release = threading.Event()
        self.calls = 0

    def __call__(self) -> int:
        """Return the number of calls so far."""
        self.calls += 1
        self.loop.call_soon_threadsafe(self.started.set)
        assert self.release.wait(10)
        return self.calls
