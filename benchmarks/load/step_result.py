"""Samples, the results of a load, and calculations on them."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

OK_STATUS: Final = 200
CLIENT_TIMEOUT: Final = "gave up"
"""The client closed the connection, because there was no complete response within its time-out."""
CONNECTION_LOST: Final = "broken"
"""The connection was closed before the response was complete."""


class Window(msgspec.Struct, frozen=True):
    """A time window of a step, by due times: start and p99 in seconds, numbers of 200 responses and other outcomes."""

    start: float
    answered: int
    others: int
    p99: float


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one step. Latencies are in seconds from the due time of a request, not from when it was sent."""

    seconds: float
    offered: int
    outcomes: dict[str, int]
    """Number of requests by status, CLIENT_TIMEOUT or CONNECTION_LOST."""
    p50: float
    """Latency of 200 responses and client time-outs."""
    p99: float
    p99_shed: float
    """99th percentile of the latency of 503 responses; -1 without one."""
    retry_after: dict[str, int]
    """Number of responses by `Retry-After`."""
    generator_lag: float
    """p99 of the delay with which the generator sent requests, in seconds."""
    generator_cpu_share: float
    """Share of its core that the generator used in the phase."""
    windows: list[Window] = []

    @property
    def answers(self) -> int:
        """Number of 200 responses within the time-out."""
        return self.outcomes.get(str(OK_STATUS), 0)

    @property
    def goodput(self) -> float:
        """200 responses within the time-out, per second."""
        return self.answers / self.seconds

    def outcomes_except(self, *allowed: int | str) -> dict[str, int]:
        """Return the outcomes other than these."""
        names = {str(outcome) for outcome in allowed}
        return {name: count for name, count in self.outcomes.items() if name not in names}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile by the nearest-rank method; NaN without values. `share` is from 0 to 1."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def recovery_seconds(windows: Sequence[Window], normal: float) -> float:
    """Return the seconds until two windows in a row are normal, or infinity.

    A window is normal if all its requests got a 200 and its p99 is at most `normal` seconds.
    """
    good = [window.answered > 0 and not window.others and window.p99 <= normal for window in windows]
    pairs = zip(windows, good, good[1:], strict=False)
    return next((window.start for window, this, following in pairs if this and following), math.inf)


def format_outcomes(outcomes: dict[str, int]) -> str:
    """Format outcomes: `120 × 200, 3 × 503`."""
    return ", ".join(f"{count:,} × {name}" for name, count in sorted(outcomes.items())) or "none"


def sum_outcomes(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return the sums of outcomes."""
    sums: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            sums[name] = sums.get(name, 0) + count
    return sums
