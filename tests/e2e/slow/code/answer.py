"""The function that the slow tests serve: fast, slow, streamed or expensive, or a failure, as the question says.

The tests serve the same file on the host, in a container and in a cluster.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Literal

Failure = Literal["none", "hang", "allocate"]


async def answer(
    text: str, wait: float = 0.0, pieces: int = 1, burn: float = 0.0, failure: Failure = "none"
) -> AsyncIterator[str]:
    """Answer with the text of the question.

    Args:
        text: The answer.
        wait: Seconds of waiting, divided among the pieces.
        pieces: Number of pieces of the answer.
        burn: Seconds of CPU time, divided among the pieces.
        failure: `hang` blocks the event loop, `allocate` uses all memory.

    """
    if failure == "hang":
        time.sleep(1e6)  # noqa: ASYNC251 - blocks the event loop on purpose
    allocated = []
    while failure == "allocate":
        allocated.append(b"x" * 16_000_000)
    for _ in range(pieces):
        await asyncio.sleep(wait / pieces)
        end = time.thread_time() + burn / pieces
        while time.thread_time() < end:
            pass
        yield text
