"""Notices that files changed on disk, by looking at them once a second.

Not by events: a mounted Secret takes about a minute to arrive, so that a second more is nothing, and looking works on
network file systems, through the swapped links of Kubernetes, and where a node has no inotify watches left.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

EVERY = 1.0
"""Seconds between two looks."""

State = tuple[tuple[str | int, ...], ...]

_log = structlog.get_logger("askd.changes")


def state(paths: Iterable[Path]) -> State:
    """Return what changes with any of the files: what a name leads to, its size, its times. Never raises OSError."""
    return tuple(_identity(path) for path in paths)


def _identity(path: Path) -> tuple[str | int, ...]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return (str(path),)
    # Mode and time of change too: permissions that are mended make a file readable that was not.
    times = found.st_mtime_ns, found.st_ctime_ns
    return str(path), found.st_dev, found.st_ino, found.st_mode, found.st_size, *times


class Changes:
    """Tells when something on disk has changed and has stayed so from one look to the next.

    A file that is being written is so not read halfway. `look` returns what changes with it; what is read right after
    this is made, or after `settled` said yes, is never older than the state that is compared with.
    """

    def __init__(self, look: Callable[[], State]) -> None:
        self._look = look
        self._taken = self._last = look()

    def settled(self) -> bool:
        """Look; say whether there is something new, once for each change."""
        now, before = self._look(), self._last
        self._last = now
        if now == self._taken or now != before:
            return False
        self._taken = now
        return True


async def watch(look: Callable[[], object]) -> None:
    """Call `look` every second, in a thread, for a disk may be slow; until cancelled."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            await asyncio.to_thread(look)
        except Exception:
            _log.exception("a look at the disk failed")
