"""Notices saves, in a thread of its own.

Events only say *look*: a snapshot of the files says whether something changed. So a save by rename, a folder that is
new, an event that never came (a network file system, a file shared into a container) need no care of their own.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
import watchfiles

from service.reload.places import Places, Snapshot

_LOOK: Final = 500
"""Milliseconds between two looks without an event …"""
_SHARE: Final = 20
"""… or this many times as long as a look takes."""
_QUIET: Final = 30
"""Milliseconds without a further event after which a burst of them is over …"""
_BURST: Final = 300
"""… but at most so many."""
_ABSENT: Final = 0.3
"""Seconds for which a file may be gone in the midst of a save, before that counts as a change."""

_log = structlog.get_logger("askd.reload")


class Watch:
    """Calls `changed`, from its thread, with the files that a burst of saves changed, shortened for people."""

    def __init__(self, places: Places, changed: Callable[[Sequence[str]], object]) -> None:
        self._places = places
        self._changed = changed
        self._folders, self._seen = places.look()
        self._gone_since: float | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-reload-watch", daemon=True)

    def start(self) -> None:
        """Report from now on what has changed since this was made."""
        self._thread.start()

    def stop(self, within: float = 1.0) -> None:
        """Stop watching; waits at most `within` seconds for the thread to end."""
        self._stopped.set()
        self._thread.join(within)

    def also(self, folders: Sequence[str]) -> None:
        """Watch these folders too; what is in them now is no change."""
        with self._lock:
            self._seen = {**self._places.also(folders), **self._seen}

    def _run(self) -> None:
        while not self._stopped.is_set():
            folders, due = self._folders, 0.0
            for events in self._signals(folders):
                if events or self._gone_since is not None or time.monotonic() >= due:
                    due = time.monotonic() + _SHARE * self._look()
                if self._folders != folders:
                    break

    def _signals(self, folders: Sequence[str]) -> Iterator[object]:
        """Yield after each burst of events, and now and then, until stopped."""
        try:
            yield from watchfiles.watch(
                *folders,
                watch_filter=None,
                step=_QUIET,
                debounce=_BURST,
                rust_timeout=_LOOK,
                yield_on_timeout=True,
                stop_event=self._stopped,
                recursive=False,
                raise_interrupt=False,
            )
        except OSError as fault:  # mostly: the machine has no inotify watches left
            _log.warning("no file events", fault=str(fault), instead=f"a look every {_LOOK} ms")
        while not self._stopped.wait(_LOOK / 1000):
            yield None

    def _look(self) -> float:
        """Compare with the last look; return how long that took, in seconds."""
        began = time.monotonic()
        with self._lock:
            self._folders, now = self._places.look()
            files = self._different(now)
            report = bool(files) and not self._may_be_halfway(now)
            self._seen = now if report else self._seen
        if report:
            self._changed([_shown(file) for file in files])
        return time.monotonic() - began

    def _different(self, now: Snapshot) -> list[str]:
        return sorted(file for file in {*now, *self._seen} if now.get(file) != self._seen.get(file))

    def _may_be_halfway(self, now: Snapshot) -> bool:
        """Editors that save by renaming leave no file for a moment."""
        if self._seen.keys() <= now.keys():
            self._gone_since = None
            return False
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since < _ABSENT:
            return True
        self._gone_since = None
        return False


def _shown(file: str) -> str:
    here = Path.cwd()
    return os.path.relpath(file, here) if Path(file).is_relative_to(here) else file
