"""What came of the requests of one step, collected cheaply while it runs and summed up after it."""

import math
from array import array
from collections import Counter
from typing import Final

from .numbers import ANSWERED, GAVE_UP, Sample, Window, percentile
from .phase import Step

_ANSWERED: Final = str(ANSWERED)
_TAKEN: Final = (_ANSWERED, GAVE_UP)


class Tally:
    """The results of one step. Times are those of `time.monotonic`: a loop of uvloop counts whole milliseconds."""

    def __init__(self, step: Step, started: float) -> None:
        self.step = step
        self.started = started
        self.ended = started
        self.offered = 0
        self.late = array("d")
        self._due = array("d")
        self._seconds = array("d")
        self._outcomes: list[str] = []
        self._retry_after: Counter[str] = Counter()

    def add(self, due: float, seconds: float, outcome: str, retry_after: str = "") -> None:
        """Count one request that is over."""
        self._due.append(due)
        self._seconds.append(seconds)
        self._outcomes.append(outcome)
        if retry_after:
            self._retry_after[retry_after] += 1

    def sample(self, *, window: float, busy: float) -> Sample:
        """Sum it up; `busy` is the generator's share of its core."""
        taken = [s for s, outcome in zip(self._seconds, self._outcomes, strict=True) if outcome in _TAKEN]
        return Sample(
            seconds=self.ended - self.started,
            offered=self.offered,
            outcomes=dict(Counter(self._outcomes)),
            p50=_number(percentile(taken, 0.5)),
            p99=_number(percentile(taken, 0.99)),
            retry_after=dict(self._retry_after),
            late=_number(percentile(self.late, 0.99)),
            busy=busy,
            windows=self._windows(window),
        )

    def _windows(self, length: float) -> list[Window]:
        slices: dict[int, tuple[list[float], int]] = {}
        for due, seconds, outcome in zip(self._due, self._seconds, self._outcomes, strict=True):
            number = int((due - self.started) / length)
            answers, others = slices.get(number, ([], 0))
            if outcome == _ANSWERED:
                answers.append(seconds)
            slices[number] = (answers, others + (outcome != _ANSWERED))
        return [
            Window(number * length, len(answers), others, _number(percentile(answers, 0.99)))
            for number, (answers, others) in sorted(slices.items())
        ]


def _number(value: float) -> float:
    return -1.0 if math.isnan(value) else value  # JSON has no NaN; no time is below 0
