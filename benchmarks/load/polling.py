"""Polling for states without a notification, such as another process's log or port."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def poll(condition: Callable[[], Awaitable[bool]], timeout: float, interval: float = 0.05) -> float | None:
    """Wait until a condition holds. Returns the seconds that it took, or None after `timeout` seconds."""
    started_at = time.monotonic()
    while time.monotonic() - started_at < timeout:
        if await condition():
            return time.monotonic() - started_at
        await asyncio.sleep(interval)
    return None
