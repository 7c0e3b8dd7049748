"""Free memory: returns the memory of a peak to the operating system.

The allocator of glibc keeps freed memory below the top of the heap. After a flood of requests, a process may keep
twice the memory that it needs, which counts against the limit of its container.
"""

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

MIN_GAIN: Final = 8 << 20
"""Bytes that are worth it."""
MIN_INTERVAL: Final = 10.0
"""Seconds until the next time if the last one was worth it. After each other one, the interval doubles."""
MAX_INTERVAL: Final = 160.0
"""Maximum seconds between two times. One takes 1 ms for 10 MB that it gives back (measured)."""
_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")


class FreeMemory:
    """Gives free memory back from time to time, unless the process is not larger than it was at its start.

    Args:
        trim: Gives memory back. None uses malloc_trim(3), and does nothing without glibc.
        resident_bytes: Returns the memory of the process.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        *,
        trim: Callable[[], object] | None = None,
        resident_bytes: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trim = trim or _find_malloc_trim()
        self._resident_bytes = resident_bytes or _read_resident_bytes
        self._clock = clock
        self._smallest = self._resident_bytes()
        self._interval = MIN_INTERVAL
        self._next_at = clock() + MIN_INTERVAL

    def check(self) -> None:
        """Give memory back if it is time."""
        now = self._clock()
        if self._trim is None or now < self._next_at:
            return
        before = self._resident_bytes()
        if before - self._smallest >= MIN_GAIN:
            self._trim()
            gain = before - self._resident_bytes()
            self._interval = MIN_INTERVAL if gain >= MIN_GAIN else min(2 * self._interval, MAX_INTERVAL)
        self._smallest = min(self._smallest, before)
        self._next_at = now + self._interval


def _find_malloc_trim() -> Callable[[], object] | None:
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if function is None else lambda: function(0)


def _read_resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_SIZE
    except OSError:  # not Linux
        return 0
