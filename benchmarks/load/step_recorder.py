"""Results of the requests of one step: recorded cheaply during the step, and summarised after it."""

import math
from array import array
from collections import Counter
from typing import Final

from benchmarks.load.phases import Step
from benchmarks.load.step_result import CLIENT_TIMEOUT, OK_STATUS, StepResult, Window, percentile

_OK_STATUS: Final = str(OK_STATUS)
_SHED: Final = "503"
_ADMITTED: Final = (_OK_STATUS, CLIENT_TIMEOUT)


class StepRecorder:
    """Results of one step. Times are from `time.monotonic`, because uvloop's `loop.time()` has a resolution of 1 ms."""

    def __init__(self, step: Step, started_at: float) -> None:
        self.step = step
        self.started_at = started_at
        self.ended_at = started_at
        self.offered = 0
        self.generator_lags = array("d")
        self._due_times = array("d")
        self._seconds = array("d")
        self._outcomes: list[str] = []
        self._retry_after: Counter[str] = Counter()

    def record(self, due_at: float, seconds: float, outcome: str, retry_after: str = "") -> None:
        """Record a finished request."""
        self._due_times.append(due_at)
        self._seconds.append(seconds)
        self._outcomes.append(outcome)
        if retry_after:
            self._retry_after[retry_after] += 1

    def summarise(self, *, window: float, cpu_share: float) -> StepResult:
        """Return the sample of the step.

        Args:
            window: Length of a window in seconds.
            cpu_share: Share of its core that the generator used.
        """
        latencies = [
            seconds for seconds, outcome in zip(self._seconds, self._outcomes, strict=True) if outcome in _ADMITTED
        ]
        shed = [seconds for seconds, outcome in zip(self._seconds, self._outcomes, strict=True) if outcome == _SHED]
        return StepResult(
            seconds=self.ended_at - self.started_at,
            offered=self.offered,
            outcomes=dict(Counter(self._outcomes)),
            p50=_without_nan(percentile(latencies, 0.5)),
            p99=_without_nan(percentile(latencies, 0.99)),
            p99_shed=_without_nan(percentile(shed, 0.99)),
            retry_after=dict(self._retry_after),
            generator_lag=_without_nan(percentile(self.generator_lags, 0.99)),
            generator_cpu_share=cpu_share,
            windows=self._windows(window),
        )

    def _windows(self, length: float) -> list[Window]:
        windows: dict[int, tuple[list[float], int]] = {}
        for due_at, seconds, outcome in zip(self._due_times, self._seconds, self._outcomes, strict=True):
            number = int((due_at - self.started_at) / length)
            answers, others = windows.get(number, ([], 0))
            if outcome == _OK_STATUS:
                answers.append(seconds)
            windows[number] = (answers, others + (outcome != _OK_STATUS))
        return [
            Window(number * length, len(answers), others, _without_nan(percentile(answers, 0.99)))
            for number, (answers, others) in sorted(windows.items())
        ]


def _without_nan(value: float) -> float:
    return -1.0 if math.isnan(value) else value  # JSON cannot express NaN, and times are never negative
