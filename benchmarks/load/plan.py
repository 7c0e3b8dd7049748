"""How to measure: how long, on which cores, against what."""

import dataclasses
import os
import shutil
import time
from pathlib import Path

from .served import burn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What holds for all scenarios of one run. A core of None: pinned to none."""

    folder: Path
    """Where logs and scratch files go."""
    quick: bool = False
    """A smoke: short and small, its figures mean little."""
    server_core: int | None = None
    load_core: int | None = None
    baseline: str = ""
    """The commit before the guards; empty: the one that is found by its subject."""

    def seconds(self, full: float, quick: float) -> float:
        """Choose a duration."""
        return quick if self.quick else full

    def count(self, full: int, quick: int) -> int:
        """Choose a number."""
        return quick if self.quick else full

    def on(self, core: int | None) -> list[str]:
        """Begin a command line that pins what follows to a core."""
        return [] if core is None or not shutil.which("taskset") else ["taskset", "-c", str(core)]


def cores() -> tuple[int | None, int | None]:
    """A core for the servers and one for the load; none where there are not two."""
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else (None, None)


def loops(seconds: float) -> int:
    """How many turns of `burn` take so much processor time, here and now; the best of several tries counts."""
    tries, turns = [], 200_000
    for _ in range(7):
        began = time.thread_time()
        burn(turns)
        tries.append(time.thread_time() - began)
    return round(turns * seconds / min(tries))
