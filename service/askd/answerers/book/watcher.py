"""Watches a book on disk and reports changes, in its own thread.

Folders are watched, not files: editors rename files and Kubernetes swaps the `..data` link, so a watch on a file would
keep watching the old file. Events only trigger a comparison of fingerprints. A periodic comparison also finds changes
without an event, such as those on a network file system or from before the watch began.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from askd.answerers.book.formats import book_files
from askd.answerers.book.formats.book_files import Fingerprint

_log: Final = structlog.get_logger("askd.book")
_RESCAN_INTERVAL_MS: Final = 500
"""Milliseconds between two comparisons without an event."""
_RESCAN_COST_FACTOR: Final = 100
"""Minimum interval between two comparisons as a multiple of their duration, for folders with very many files."""
_QUIET_PERIOD_MS: Final = 50
"""Milliseconds without a further event after which a burst of events is over."""


class BookWatcher:
    """Calls `on_change` with the new fingerprint whenever the book has changed.

    Args:
        book: File or folder of the book.
        last_fingerprint: Fingerprint of the book as loaded, so that later changes are not missed.
        on_change: Called in the watcher's thread.
    """

    def __init__(self, book: Path, last_fingerprint: Fingerprint, on_change: Callable[[Fingerprint], None]) -> None:
        self._book_path = book
        self._last_fingerprint = last_fingerprint
        self._on_change = on_change
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-book-watch", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop watching. Waits at most `timeout` seconds for the thread to end."""
        self._stop_event.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop_event.is_set():
            folders, next_rescan_at = self._find_watched_folders(), 0.0
            for events in self._wait_for_events(folders):
                if events or time.monotonic() >= next_rescan_at:
                    next_rescan_at = time.monotonic() + _RESCAN_COST_FACTOR * self._check_for_changes()
                if self._find_watched_folders() != folders:
                    break

    def _find_watched_folders(self) -> list[Path]:
        """Return the folder of the book and, if the book is a link, the folder of its target."""
        folder = self._book_path if self._book_path.is_dir() else self._book_path.parent
        try:
            target = self._book_path.resolve()
            target_folder = target if target.is_dir() else target.parent
        except (OSError, RuntimeError):  # circular links
            target_folder = folder
        return sorted(path for path in {folder.absolute(), target_folder} if path.is_dir())

    def _wait_for_events(self, folders: list[Path]) -> Iterator[object]:
        """Yield after each burst of events, and at least once per rescan interval, until stopped."""
        import watchfiles  # noqa: PLC0415 - the built-in book is not watched and starts faster without it

        try:
            yield from watchfiles.watch(
                *folders,
                watch_filter=None,
                step=_QUIET_PERIOD_MS,
                rust_timeout=_RESCAN_INTERVAL_MS,
                yield_on_timeout=True,
                stop_event=self._stop_event,
                recursive=self._book_path.is_dir(),
                raise_interrupt=False,
            )
        except OSError as error:  # usually because the node is out of inotify watches
            _log.warning(
                "file_events_unavailable", error=str(error), fallback=f"polling every {_RESCAN_INTERVAL_MS} ms"
            )
        while not self._stop_event.wait(_RESCAN_INTERVAL_MS / 1000):
            yield None

    def _check_for_changes(self) -> float:
        """Compare the fingerprint with the last one. Returns the duration of the comparison in seconds."""
        started_at = time.monotonic()
        fingerprint = book_files.compute_fingerprint(self._book_path)
        duration = time.monotonic() - started_at
        if fingerprint != self._last_fingerprint:
            self._last_fingerprint = fingerprint
            self._on_change(fingerprint)
        return duration
