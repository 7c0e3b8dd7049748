"""A generator streams its answer: `askd serve docs/examples/streaming/main.py`.

Then ask it:

    curl -N -H 'Accept: text/event-stream' 'localhost:2024/ask?q=one+two+three'
    curl 'localhost:2024/ask?q=one+two+three'       # the same answer in one response
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

PAUSE = 0.3
"""Seconds between two words, to simulate a model."""


async def answer(text: str) -> AsyncIterator[str | dict[str, Any]]:
    """Repeat the words of the question one by one, then add a field with their count."""
    words = text.split()
    for number, word in enumerate(words):
        if number:
            await asyncio.sleep(PAUSE)
        yield word if number == 0 else f" {word}"
    yield {"words": len(words)}
