"""A call that a test lets begin and end."""

import asyncio
import threading


class Gate:
    """A call that tells when it has begun, and goes on until it is let."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.open = threading.Event()
        self.calls = 0

    def __call__(self) -> int:
        """Return how often it was called."""
        self.calls += 1
        self.loop.call_soon_threadsafe(self.begun.set)
        assert self.open.wait(10)
        return self.calls
