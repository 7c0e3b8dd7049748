"""Detect changed files by polling once a second: certificates, token files and API keys.

Polling instead of inotify: it works on network file systems, through the symbolic links that Kubernetes swaps when a
Secret changes, and on nodes without inotify watches left. A mounted Secret takes about a minute to arrive, so another
second does not matter.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

POLL_INTERVAL = 1.0
"""Seconds between two polls."""

FileSnapshot = tuple[tuple[str | int, ...], ...]

_log = structlog.get_logger("askd.changes")


def take_file_snapshot(paths: Iterable[Path]) -> FileSnapshot:
    """Return the identity, mode, size and times of each file, with symbolic links followed. Never raises OSError."""
    return tuple(_stat_fields(path) for path in paths)


def _stat_fields(path: Path) -> tuple[str | int, ...]:
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return (str(path),)
    # The mode and the change time are included because a file may become readable without a change of its content.
    times = stat.st_mtime_ns, stat.st_ctime_ns
    return str(path), stat.st_dev, stat.st_ino, stat.st_mode, stat.st_size, *times


class ChangeDetector:
    """Reports a change once two snapshots in a row agree, so that a half-written file is not read.

    `take_snapshot` is called now and for each check. A file that is read after the detector was created, or after
    `has_settled_change` returned True, is at least as new as the snapshot that later ones are compared with.
    """

    def __init__(self, take_snapshot: Callable[[], FileSnapshot]) -> None:
        self._take_snapshot = take_snapshot
        self._last_reported = self._last_seen = take_snapshot()

    def has_settled_change(self) -> bool:
        """Take a snapshot. Returns True once for each change, when the next snapshot is the same."""
        snapshot, previous = self._take_snapshot(), self._last_seen
        self._last_seen = snapshot
        if snapshot == self._last_reported or snapshot != previous:
            return False
        self._last_reported = snapshot
        return True


async def poll_forever(check: Callable[[], object]) -> None:
    """Call `check` every second until cancelled, in a thread because the disk may be slow."""
    while True:
        await asyncio.sleep(POLL_INTERVAL)
        try:
            await asyncio.to_thread(check)
        except Exception:
            _log.exception("file_poll_failed")
