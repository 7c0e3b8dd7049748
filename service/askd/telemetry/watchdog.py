"""The watchdog: a thread that logs all stacks when the main loop stands still, or when it is asked to.

A thread of its own, because a loop that stands still cannot say why. Code that holds the interpreter's lock stops this
thread as well: for that case a timer of `faulthandler`'s is set, which needs no lock, and is put off again and again.
When the lock is free again, one line tells that the timer has gone off: the stacks of then would be others.
"""

import asyncio
import faulthandler
import io
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TextIO

import structlog

from service.telemetry import stacks
from service.telemetry.stacks import Dumped

LOOK: Final = 0.25
"""Seconds between two looks at the heartbeat, which comes as often."""
LATER: Final = 1.0
"""Seconds beyond the limit after which the timer that needs no lock goes off."""

_log = structlog.get_logger("askd.stacks")


class Watchdog:
    """Logs the stacks once for each stall of the loop that lasts longer than `limit` seconds.

    `still` says for how many seconds it has not moved. `file` gets what is written without the interpreter's lock, as
    plain text; None: standard error, where it is a file. `clock` gives seconds that only rise.
    """

    def __init__(
        self,
        still: Callable[[], float],
        limit: float,
        *,
        look: float = LOOK,
        file: TextIO | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._still = still
        self._limit = limit
        self._look = look
        self._clock = clock
        self._set = clock()
        """When the timer was set last."""
        self._file = file or _standard_error()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen = 0.0
        """For how many seconds the loop had not moved at the last look."""
        self._told = False
        self._wishes: SimpleQueue[str | None] = SimpleQueue()
        """Reasons to log; None ends the thread. Its `put` may be called in a signal's handler: it takes no lock."""
        self._thread = threading.Thread(target=self._run, name="askd-watchdog", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch this loop from now on."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it, at most a second; a second time it does nothing."""
        self._wishes.put(None)
        if self._thread.is_alive():
            self._thread.join(1.0)

    def wish(self, reason: str) -> None:
        """Have the stacks logged soon, by the thread; safe in a signal's handler."""
        self._wishes.put(reason)

    def dump(self, reason: str) -> Dumped:
        """Log the stacks now."""
        return stacks.dump(self._loop, reason)

    def look(self) -> None:
        """Log the stacks where the loop has stood still for too long, and this stall has not been logged yet."""
        still, before = self._still(), self._seen
        self._seen = still
        if still < before:  # it has moved in between, if only for a moment
            self._told = False
        if still > self._limit and not self._told:
            self._told = True
            self.dump(f"the main loop has not moved for {still:.1f}s, limit {self._limit:g}s")

    def woke(self) -> None:
        """Tell of a stall in which this thread could not run either: the timer has written its stacks."""
        held = self._clock() - self._set
        if self._file is not None and held > self._limit + LATER:
            self._told = True
            reason = f"the interpreter's lock was held for {held:.1f}s, limit {self._limit:g}s"
            _log.warning("stacks as plain text", reason=reason)

    def _run(self) -> None:
        leave_signal()
        while True:
            self._put_off()
            try:
                wish = self._wishes.get(timeout=self._look)
            except Empty:
                self._safely(self.woke)
                self._safely(self.look)
                continue
            if wish is None:
                faulthandler.cancel_dump_traceback_later()
                return
            while not self._wishes.empty() and self._wishes.get() is not None:
                pass  # whoever asks many times at once gets one
            self._safely(self.woke)
            self._safely(partial(self.dump, wish))

    def _put_off(self) -> None:
        self._set = self._clock()
        if self._file is not None:
            faulthandler.dump_traceback_later(self._limit + LATER, file=self._file)

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            _log.exception("the stacks could not be logged")


def leave_signal() -> None:
    """Leave SIGUSR1 to other threads than this one.

    The main thread alone can heed it, and what it waits in is interrupted only where it is the one that gets it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def _standard_error() -> TextIO | None:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
    return sys.stderr
