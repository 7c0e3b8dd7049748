"""Options of a run: duration, cores, baseline."""

import dataclasses
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.workloads import burn_cpu


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of one run. A core of None does not pin processes."""

    folder: Path
    """Directory for logs and temporary files."""
    quick: bool = False
    """Short smoke test, whose results mean little."""
    server_core: int | None = None
    load_core: int | None = None
    server_command: Sequence[str] = ()
    """Prefix of the command of servers, for example one that limits their memory."""
    baseline: str = ""
    """Commit to compare with. Empty uses the last commit before the guards."""

    def seconds(self, full: float, quick: float) -> float:
        """Return a duration for this run."""
        return quick if self.quick else full

    def count(self, full: int, quick: int) -> int:
        """Return a count for this run."""
        return quick if self.quick else full

    def pin_command(self, core: int | None) -> list[str]:
        """Return the prefix of a command that pins it to a core, empty if it is not pinned."""
        return [] if core is None or not shutil.which("taskset") else ["taskset", "-c", str(core)]


def choose_cores() -> tuple[int | None, int | None]:
    """Return a core for servers and one for the load; None for both if there is only one core."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def calibrate_loops(seconds: float) -> int:
    """Return the number of loops with which `burn_cpu` takes this CPU time, by the best of seven measurements."""
    durations, loops = [], 200_000
    for _ in range(7):
        started_at = time.thread_time()
        burn_cpu(loops)
        durations.append(time.thread_time() - started_at)
    return round(loops * seconds / min(durations))
