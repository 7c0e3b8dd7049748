"""Summaries: events that may come in floods, counted elsewhere, and told in the log in one line a second."""

import time
from collections.abc import Callable
from typing import Any, Final

EVERY: Final = 1.0
"""Seconds between two lines, however much there is to tell."""


class Summary:
    """Tells of floods. `tell` writes one line; `clock` returns seconds that only rise."""

    def __init__(self, tell: Callable[..., Any], event: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._event = event
        self._clock = clock
        self._since = 0
        self._last = ""
        self._next = float("-inf")

    def seen(self, client: str, now: float | None = None) -> None:
        """Take note of one, caused by this client; the first is told at once, the others with the next `sum_up`.

        `now` is the time by the clock; None: the clock is asked.
        """
        self._since += 1
        self._last = client
        if now is None or now >= self._next:
            self.sum_up()

    def sum_up(self) -> None:
        """Tell what came since the last line, where that is a second ago; called now and then, so that all is told."""
        if self._since and (now := self._clock()) >= self._next:
            self._tell(self._event, count=self._since, last_client=self._last)
            self._since, self._next = 0, now + EVERY
