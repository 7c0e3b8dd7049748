"""Log throttling: floods of events are counted and logged once per second, OpenTelemetry's warnings once per minute."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

EVENT_LOG_INTERVAL: Final = 1.0
"""Minimum seconds between two lines of one `LogThrottle`."""
OTEL_LOG_INTERVAL: Final = 60.0
"""Minimum seconds between two lines of one OpenTelemetry logger."""
OTEL_ROOT_LOGGER: Final = "opentelemetry"
EXPORT_LOGGERS: Final = ("opentelemetry.exporter", "opentelemetry.sdk")
"""Loggers that report the same failure: an export fails in the exporter and in the SDK."""

_log = structlog.get_logger("askd.tracing")


class LogThrottle:
    """Counts events and logs at most one line per second.

    Args:
        log: Writes a line, for example `log.warning`.
        event: Name of the log event.
        clock: Monotonic clock in seconds.
    """

    def __init__(self, log: Callable[..., Any], event: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._event = event
        self._clock = clock
        self._count = 0
        self._last_client = ""
        self._next_log_at = float("-inf")

    def record(self, client: str, now: float | None = None) -> None:
        """Count one event. The first is logged immediately, the others with the next `flush`.

        Args:
            client: Address of the client that caused it.
            now: Current time of the clock, if the caller has read it already.
        """
        self._count += 1
        self._last_client = client
        if now is None or now >= self._next_log_at:
            self.flush()

    def flush(self) -> None:
        """Log the events since the last line if it is at least a second old. Called periodically, so none is lost."""
        if self._count and (now := self._clock()) >= self._next_log_at:
            self._log(self._event, count=self._count, last_client=self._last_client)
            self._count, self._next_log_at = 0, now + EVENT_LOG_INTERVAL


class OtelLogHandler(logging.Handler):
    """Logs the first record of each logger per minute, with the number of records suppressed since the last.

    The loggers of the export count as one. `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._next_log_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log or count the record."""
        is_export = record.name.startswith(EXPORT_LOGGERS)
        source, now = EXPORT_LOGGERS[0] if is_export else record.name, self._clock()
        if now < self._next_log_at.get(source, float("-inf")):
            self._suppressed[source] = self._suppressed.get(source, 0) + 1
            return
        self._next_log_at[source] = now + OTEL_LOG_INTERVAL
        event = "trace_export_failed" if is_export else "opentelemetry_warning"
        _log.warning(event, error=record.getMessage(), logger=record.name, suppressed=self._suppressed.pop(source, 0))


def throttle_otel_logs() -> None:
    """Replace the handlers of OpenTelemetry's loggers with the throttled one. Idempotent."""
    logger = logging.getLogger(OTEL_ROOT_LOGGER)
    if not any(isinstance(handler, OtelLogHandler) for handler in logger.handlers):
        logger.addHandler(OtelLogHandler())
    logger.propagate = False
