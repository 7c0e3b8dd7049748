"""Notices that a book changed on disk, in a thread of its own.

Folders are watched rather than files: an editor's rename and Kubernetes' swap of `..data` replace the file, and what
watches the file would go on watching the old one. Events only say *look*: the fingerprint says whether something
changed, and a look now and then finds what no event told of: on a network file system, or before the watch began.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from service.answerers.book import files
from service.answerers.book.files import Fingerprint

_LOG: Final = structlog.get_logger("askd.book")
_LOOK: Final = 500
"""Milliseconds between two looks without an event …"""
_SHARE: Final = 100
"""… or this many times as long as a look takes, for a folder of very many files."""
_QUIET: Final = 50
"""Milliseconds without a further event after which a burst of them is over."""


class Watch:
    """Calls `changed` in a thread whenever the book is another than at the last call."""

    def __init__(self, book: Path, seen: Fingerprint, changed: Callable[[Fingerprint], None]) -> None:
        self._book = book
        self._seen = seen
        self._changed = changed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-book-watch", daemon=True)
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """Stop watching; waits at most `within` seconds for the thread to end."""
        self._stopped.set()
        self._thread.join(within)

    def _run(self) -> None:
        while not self._stopped.is_set():
            places, due = self._places(), 0.0
            for events in self._signals(places):
                if events or time.monotonic() >= due:
                    due = time.monotonic() + _SHARE * self._look()
                if self._places() != places:
                    break

    def _places(self) -> list[Path]:
        """Return the folders to watch: where the book is, and where it is kept if it is a link."""
        folder = self._book if self._book.is_dir() else self._book.parent
        try:
            kept = self._book.resolve()
            kept = kept if kept.is_dir() else kept.parent
        except (OSError, RuntimeError):  # links in a circle
            kept = folder
        return sorted(place for place in {folder.absolute(), kept} if place.is_dir())

    def _signals(self, places: list[Path]) -> Iterator[object]:
        """Yield after each burst of events and at least every _LOOK milliseconds, until stopped."""
        import watchfiles  # noqa: PLC0415 - the built-in book is not watched, and starts sooner without

        try:
            yield from watchfiles.watch(
                *places,
                watch_filter=None,
                step=_QUIET,
                rust_timeout=_LOOK,
                yield_on_timeout=True,
                stop_event=self._stopped,
                recursive=self._book.is_dir(),
                raise_interrupt=False,
            )
        except OSError as fault:  # mostly: the node has no inotify watches left
            _LOG.warning("book.events_unavailable", fault=str(fault), instead=f"a look every {_LOOK} ms")
        while not self._stopped.wait(_LOOK / 1000):
            yield None

    def _look(self) -> float:
        """Compare the fingerprint with the last one; return how long that took, in seconds."""
        began = time.monotonic()
        now = files.fingerprint(self._book)
        took = time.monotonic() - began
        if now != self._seen:
            self._seen = now
            self._changed(now)
        return took
