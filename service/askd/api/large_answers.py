"""Large answers take turns, so that a burst of them neither fills the memory nor delays small ones.

Rendering an answer takes several times its size, and a millisecond for a megabyte. Connections that are evicted because
their clients do not read release their memory only when the event loop continues.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from askd.errors import Overloaded
from askd.models import Answer

LARGE_ANSWER: Final = 64 << 10
"""Characters from which an answer is large."""


class LargeAnswers:
    """Lets one large answer be rendered in each iteration of the event loop.

    Args:
        max_size: Maximum of characters of all answers that wait for their turn. A single answer may have more.
        is_releasing_memory: Returns whether memory of unread responses is being released; all answers wait for that.
    """

    def __init__(self, max_size: int, is_releasing_memory: Callable[[], bool]) -> None:
        self._max_size = max_size
        self._is_releasing_memory = is_releasing_memory
        self._size = 0
        self._turn = asyncio.Lock()

    async def wait_for_turn(self, answer: Answer) -> None:
        """Wait until this answer may be rendered. Raises Overloaded if too many characters wait already."""
        size = answer_size(answer)
        if self._size and self._size + size > self._max_size:
            raise Overloaded
        self._size += size
        try:
            async with self._turn:
                await asyncio.sleep(0)
                while self._is_releasing_memory():  # noqa: ASYNC110 no event tells when the event loop has done it
                    await asyncio.sleep(0)
        finally:
            self._size -= size


def is_large(answer: Answer) -> bool:
    """Return whether an answer must wait for its turn."""
    return len(answer.text) > LARGE_ANSWER or (bool(answer.fields) and answer_size(answer) > LARGE_ANSWER)


def answer_size(answer: Answer) -> int:
    """Return the characters of the text and of the fields that are text."""
    return len(answer.text) + sum(len(value) for value in answer.fields.values() if isinstance(value, str))
