"""Detect changed files by polling: user code, books, certificates, tokens and API keys.

Polling instead of file system events: it works on network file systems, through the symbolic links that Kubernetes
swaps when a ConfigMap or Secret changes, and on nodes without inotify watches left. Events would need polling as a
fallback for each of these.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import structlog

FileState: TypeAlias = tuple[int, ...]
"""Device, inode, mode, modification time, change time and size. The mode and the change time are included because a
file may become readable without a change of its content."""
Snapshot: TypeAlias = Mapping[str, FileState]
"""State of each file by its path. Files that do not exist are missing."""

_SCAN_COST_FACTOR: Final = 50
"""Minimum interval as a multiple of the duration of a scan, for folders with very many files."""

_log = structlog.get_logger("askd.changes")


def take_snapshot(paths: Iterable[str | Path]) -> dict[str, FileState]:
    """Return the state of each file, with symbolic links followed. Never raises OSError."""
    snapshot: dict[str, FileState] = {}
    for path in paths:
        try:
            stat = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for thousands of files
        except (OSError, ValueError):  # ValueError: no file can have this path
            continue
        times = stat.st_mtime_ns, stat.st_ctime_ns
        snapshot[str(path)] = (stat.st_dev, stat.st_ino, stat.st_mode, *times, stat.st_size)
    return snapshot


class FileWatcher:
    """Reports changed files once two scans in a row agree, so that a half-written file is not read.

    Args:
        scan: Returns the current snapshot. Called in a thread, because the disk may be slow.
        on_change: Called in that thread after each change, with the sorted paths of the files that were changed, added
            or removed.
        known: Snapshot to compare with, if the files have been read already. None takes one now: files that are read
            from now on are at least as new.
        interval: Seconds between two scans.
        settle: Seconds after which a changed file is scanned again.
    """

    def __init__(
        self,
        scan: Callable[[], Snapshot],
        on_change: Callable[[Sequence[str]], object],
        *,
        known: Snapshot | None = None,
        interval: float = 1.0,
        settle: float = 1.0,
    ) -> None:
        self._scan = scan
        self._on_change = on_change
        self._interval, self._settle = interval, settle
        self._reported = self._seen = scan() if known is None else known
        self._scan_duration = 0.0
        self._lock = threading.Lock()

    async def run(self) -> None:
        """Scan until cancelled. An exception of `scan` or `on_change` is logged, and the next scan follows."""
        while True:
            regular_pause = max(self._interval, _SCAN_COST_FACTOR * self._scan_duration)
            await asyncio.sleep(regular_pause if self._seen == self._reported else self._settle)
            try:
                await asyncio.to_thread(self.check)
            except Exception:
                _log.exception("file_poll_failed")

    def check(self) -> None:
        """Scan once, and report a change that the scan before has seen as well."""
        with self._lock:
            started_at = time.monotonic()
            snapshot, previous = self._scan(), self._seen
            self._scan_duration = time.monotonic() - started_at
            self._seen = snapshot
            if snapshot == self._reported or snapshot != previous:
                return
            reported, self._reported = self._reported, snapshot
        self._on_change(sorted(path for path in {*reported, *snapshot} if reported.get(path) != snapshot.get(path)))

    def add(self, snapshot: Snapshot) -> None:
        """Take files that `scan` returns from now on as known, so that they are not reported as new."""
        with self._lock:
            self._reported = {**snapshot, **self._reported}
            self._seen = {**snapshot, **self._seen}
