"""What the proof serves: code that is fast, waits, streams or computes as the question says, and faults of every sort.

The proof asks the same file on a laptop, in a container and in a cluster.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Literal

Fault = Literal["none", "hang", "eat"]


async def answer(
    text: str, wait: float = 0.0, pieces: int = 1, burn: float = 0.0, fault: Fault = "none"
) -> AsyncIterator[str]:
    """Say it back.

    Args:
        text: What comes back.
        wait: Seconds in which nothing is computed, spread over the pieces.
        pieces: How many pieces it comes in.
        burn: Seconds of CPU.
        fault: `hang` stops the event loop, `eat` takes memory until there is none.

    """
    if fault == "hang":
        time.sleep(1e6)  # noqa: ASYNC251 - this is the fault
    hoard = []
    while fault == "eat":
        hoard.append(b"x" * 16_000_000)
    for _ in range(pieces):
        await asyncio.sleep(wait / pieces)
        until = time.thread_time() + burn / pieces
        while time.thread_time() < until:
            pass
        yield text
