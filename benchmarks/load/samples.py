"""What a load gives: samples, and the arithmetic on them."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

ANSWERED: Final = 200
GAVE_UP: Final = "gave up"
"""The client went: no complete response within its patience."""
BROKEN: Final = "broken"
"""The connection ended before the response was complete."""


class Window(msgspec.Struct, frozen=True):
    """A slice of a step, by when its requests were due: the p99 of its answers in seconds, and all that were none."""

    start: float
    answered: int
    others: int
    p99: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one step of a load. Times are seconds, counted from when a request was due, not when it was sent."""

    seconds: float
    offered: int
    outcomes: dict[str, int]
    """Statuses, GAVE_UP and BROKEN, each with how often."""
    p50: float
    """Of those that were not refused: answers, and what was given up, with the client's patience."""
    p99: float
    retry_after: dict[str, int]
    """Each `Retry-After` that came, with how often."""
    late: float
    """By how much the generator itself was late at the 99th percentile."""
    busy: float
    """Share of its core that the generator used, over all steps of the phase."""
    windows: list[Window] = []

    @property
    def answers(self) -> int:
        """Answers in time."""
        return self.outcomes.get(str(ANSWERED), 0)

    @property
    def goodput(self) -> float:
        """Answers in time, a second."""
        return self.answers / self.seconds

    def other_than(self, *allowed: int | str) -> dict[str, int]:
        """Outcomes that are none of these."""
        names = {str(each) for each in allowed}
        return {name: count for name, count in self.outcomes.items() if name not in names}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; NaN where there are none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def recovered(windows: Sequence[Window], normal: float) -> float:
    """Seconds until two slices in a row are normal: answered, nothing else, p99 at most `normal`. Infinite: never."""
    good = [window.answered > 0 and not window.others and window.p99 <= normal for window in windows]
    pairs = zip(windows, good, good[1:], strict=False)
    return next((window.start for window, this, following in pairs if this and following), math.inf)


def counted(outcomes: dict[str, int]) -> str:
    """Outcomes for people: `120 × 200, 3 × 503`."""
    return ", ".join(f"{count:,} × {name}" for name, count in sorted(outcomes.items())) or "none"


def total(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add outcomes up."""
    found: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            found[name] = found.get(name, 0) + count
    return found
