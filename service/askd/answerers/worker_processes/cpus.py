"""The CPUs that this process may use."""

import contextlib
import os
from pathlib import Path
from typing import Final

_CGROUP_V2: Final = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1: Final = Path("/sys/fs/cgroup/cpu")


def available_cpus() -> int:
    """Return the number of CPUs, at least 1: those of the affinity mask, and of the cgroup's quota, rounded down."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(cpus if quota is None else min(cpus, int(quota)), 1)


def _cgroup_quota() -> float | None:
    """Return the CPUs that the cgroup allows (`limits.cpu` of a container); None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = _CGROUP_V2.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((_CGROUP_V1 / "cpu.cfs_quota_us").read_text())
        return quota_us / int((_CGROUP_V1 / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None
