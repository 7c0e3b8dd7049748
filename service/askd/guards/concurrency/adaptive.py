"""The limit that finds itself: doubled until the loop is late, then additive increase, multiplicative decrease.

The loop's lag is sampled every 10 ms. It grows where less than 60 % of the samples of 100 ms are late and somebody
wanted a place that was not there; it shrinks where 80 % of those of half a second are. Where the process uses a whole
CPU, it is 25 % and 50 %. What is done takes a while to show: the next verdict waits for a call that began after the
last change to end, at most a second, and a decrease also until no more are in flight than the limit.

Growing, it goes half the way to where it was late last, then on by 1, 2, 4 and so on; shrinking, it loses a tenth,
then a fifth, two fifths, a half. So it takes few steps to where it belongs, however far that is, and small ones once
it is there.
"""

from typing import Final

FIRST: Final = 8
"""Where it starts: more than code needs that burns the CPU, and seven doublings from a thousand."""
CEILING: Final = 1000
"""The most places where nothing else says how many: by then the exchange itself takes what one CPU has."""
INTERVAL: Final = 0.1
"""Seconds that a verdict looks back on, at least: CoDel's interval."""
SAMPLES: Final = 4
"""Samples that a verdict needs: a single pause, as for garbage, says nothing."""
ON_TIME: Final = 0.6
"""Share of late samples below which it may grow: some are late wherever the CPU is used at all."""
LATE: Final = 0.8
"""Share from which it shrinks; not all, as the loop is lucky now and then where threads fight for the interpreter."""
SPENT: Final = 0.95
"""Share of a CPU that the process uses from which more places bring no more answers, as the interpreter has but one."""
SPENT_ON_TIME: Final = 0.25
"""Share of late samples below which it may grow even then: what lets go of the interpreter may use other CPUs."""
SPENT_LATE: Final = 0.5
"""Share from which it shrinks then. Threads that fight for the interpreter delay the loop by a switch interval, which
is the target, however many they are: measured, of 8 that burn 4 ms two thirds of the samples are late, of 4 a third,
and of 16 five sixths, with the same number of answers."""
TARGET: Final = 0.005
"""Seconds by which the loop may be late: folly's target."""
STANDING: Final = 0.5
"""Seconds after which it may shrink: in shorter ones, code that waits and burns in turns looks late, simulated, at two
thirds of what it can do; in these, at nine tenths. In turns so long, two samples are enough."""
ROUND: Final = 1.0
"""Seconds after which an increase is taken to show, whether calls have ended or not."""
DECREASE: Final = 0.1
"""Smallest part by which it shrinks; doubled each time that it must again, up to a half."""


class Auto:
    """The limit between 1 and `ceiling`."""

    __slots__ = (
        "_began",
        "_changed",
        "_first",
        "_knee",
        "_last",
        "_late",
        "_part",
        "_samples",
        "_spent",
        "_spent_first",
        "_starting",
        "_step",
        "ceiling",
        "limit",
    )

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = min(FIRST, ceiling)
        self._starting = True
        self._knee = 0  # where the loop was late last
        self._step = 1
        self._part = DECREASE
        self._changed = self._began = self._last = 0.0
        self._samples = self._late = 0
        self._first = self._spent = self._spent_first = 0.0

    @property
    def growing(self) -> bool:
        """Whether it has not been too high yet, which shows within 0.5 s: who waits, waits for it to grow."""
        return self._starting and self.limit < self.ceiling

    def sample(self, lag: float, door: float, now: float, spent: float = 0.0) -> bool:
        """Take a sample; say whether a verdict may be due.

        `lag` is how late the loop is, in seconds, of which it spent `door` with arrivals: as much as that, the code may
        take as well, or a flood that is turned away would be taken for code that is too much. `spent`: the CPU's
        seconds that the process has used so far.
        """
        if not self._samples or now - lag - self._last > INTERVAL:  # the first, or the first after a pause
            self._samples = self._late = 0
            self._began, self._first, self._spent_first = now - lag, now, spent
        self._last, self._spent = now, spent
        self._samples += 1
        self._late += lag - door > max(TARGET, door)
        lasted = now - self._began
        return lasted >= INTERVAL and (self._samples >= SAMPLES or (self._samples > 1 and lasted >= STANDING))

    def decide(self, *, in_flight: int, peak: int, full: bool, shown: bool, now: float) -> None:
        """Give the verdict, and change the limit where it is time to.

        `in_flight` now and `peak` since the last verdict; `full`: somebody wanted a place that was not there; `shown`:
        a call has ended that began after the last change.
        """
        share = self._late / self._samples
        busy = self._spent - self._spent_first >= SPENT * (self._last - self._first) > 0.0
        if not shown and now - self._changed < ROUND:
            self._samples = self._late = 0
        elif share < (SPENT_ON_TIME if busy else ON_TIME):
            self._samples = self._late = 0
            self._part = DECREASE
            self._rise(now) if full else self._rest()
        elif now - self._began >= STANDING:
            self._samples = self._late = 0
            if share >= (SPENT_LATE if busy else LATE) and in_flight <= self.limit:
                self._fall(peak, now)

    def _rest(self) -> None:
        self._step = 1

    def _rise(self, now: float) -> None:
        """Grow: twofold at the start; later half of the way to where it was late, and beyond by 1, 2, 4 and so on."""
        step = self.limit
        if not self._starting:
            below = self._knee - self.limit
            step = max(below // 2, 1) if below > 0 else min(self._step, self.limit)
            self._step = 1 if below > 0 else 2 * step
        self._set(self.limit + step, now)

    def _fall(self, peak: int, now: float) -> None:
        """Shrink; where places were left over, no further than to those that were used."""
        part = 0.5 if self._starting else self._part
        self._part = min(2 * part, 0.5)
        self._starting, self._step, self._knee = False, 1, self.limit
        least = peak if peak < self.limit else 1
        self._set(max(least, self.limit - max(1, round(part * self.limit))), now)

    def _set(self, limit: int, now: float) -> None:
        self._changed = now
        self.limit = max(1, min(limit, self.ceiling))
