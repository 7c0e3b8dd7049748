"""What OpenTelemetry logs, in our form and once a minute: a receiver that is down must not flood the log."""

import logging
import time
from collections.abc import Callable
from typing import Final

import structlog

EVERY: Final = 60.0
"""Seconds between two lines from one source."""
ROOT: Final = "opentelemetry"
EXPORT: Final = ("opentelemetry.exporter", "opentelemetry.sdk")
"""Loggers that tell of one and the same trouble."""

_log = structlog.get_logger("askd.tracing")


class Said(logging.Handler):
    """Passes on the first record of each source in a minute, and how many of its records were left out before it.

    What is sent, or is not, is one source; any other logger is its own. `clock` returns seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record, or count it."""
        exports = record.name.startswith(EXPORT)
        source, now = EXPORT[0] if exports else record.name, self._clock()
        if now < self._next.get(source, float("-inf")):
            self._left_out[source] = self._left_out.get(source, 0) + 1
            return
        self._next[source] = now + EVERY
        event = "traces are not sent" if exports else "opentelemetry warns"
        _log.warning(event, cause=record.getMessage(), logger=record.name, left_out=self._left_out.pop(source, 0))


def quieten() -> None:
    """Put it in place of the handlers that everybody's lines go to; a second time changes nothing."""
    logger = logging.getLogger(ROOT)
    if not any(isinstance(each, Said) for each in logger.handlers):
        logger.addHandler(Said())
    logger.propagate = False
