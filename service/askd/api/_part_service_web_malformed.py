"""Malformed requests: counted, and summed up in the log, for whoever sends them can send many."""

import time
from collections.abc import Callable

import structlog

from service.telemetry.metrics import MALFORMED, Metrics
from service.telemetry.summary import Summary

_log = structlog.get_logger("askd.connection")


class Malformed:
    """Counts requests that are no HTTP. `clock` returns seconds that only rise."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally = metrics.tally()
        self.summary = Summary(_log.warning, "malformed requests", clock=clock)

    def seen(self, status: int, client: str) -> None:
        """Count one, and tell of it sooner or later."""
        self._tally.observe(MALFORMED, "", status, 0.0)
        self.summary.seen(client)
