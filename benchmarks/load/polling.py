"""Looking again and again, for what nobody tells of: another process's log, port or socket."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def poll(true: Callable[[], Awaitable[bool]], limit: float, pause: float = 0.05) -> float | None:
    """Look until it is true; returns the seconds that took, None: it was not within `limit` seconds."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if await true():
            return time.monotonic() - began
        await asyncio.sleep(pause)
    return None
