"""Time for which the calling thread was ready to run and had no CPU, as Linux counts it."""

from pathlib import Path
from typing import Final

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
"""Nanoseconds on a CPU, nanoseconds in the run queue, and number of time slices
(Documentation/scheduler/sched-stats.rst of Linux)."""


def thread_cpu_wait() -> float:
    """Return for how many seconds this thread has waited for a CPU since it started; 0.0 if the system does not say.

    Includes the time for which a CPU limit has stopped the process (CFS throttling).
    """
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
