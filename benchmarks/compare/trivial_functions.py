"""Trivial functions for askd: async, sync, deterministic, and one that blocks."""

import asyncio


async def asynchronous(_text: str) -> str:
    """Return the answer of the bare apps."""
    return "Hi"


def synchronous(_text: str) -> str:
    """Return the same answer, in a thread."""
    return "Hi"


async def deterministic(_text: str) -> str:
    """Return the same answer, which may be cached."""
    return "Hi"


deterministic.deterministic = True  # type: ignore[attr-defined]  # how user code declares it


async def blocking(text: str) -> str:
    """Wait until the client disconnects if the question is `hold`."""
    if text == "hold":
        await asyncio.Event().wait()
    return "Hi"
