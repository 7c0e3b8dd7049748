"""The least that code can do, for askd: at once, from a thread, the same to the same question, and one that holds."""

import asyncio


async def asynchronous(_text: str) -> str:
    """Give what the bare apps give."""
    return "Hi"


def synchronous(_text: str) -> str:
    """Give the same, from a thread."""
    return "Hi"


async def deterministic(_text: str) -> str:
    """Give what may be cached."""
    return "Hi"


deterministic.deterministic = True  # type: ignore[attr-defined]  # how code declares it, by askd's documentation


async def holding(text: str) -> str:
    """Keep the place of whoever asks `hold`, until the client leaves."""
    if text == "hold":
        await asyncio.Event().wait()
    return "Hi"
