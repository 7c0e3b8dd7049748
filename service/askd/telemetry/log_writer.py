"""How log lines get to a stream that may be slow: at once where it takes them, else by a thread that waits for it.

A pipe whose reader stands still would hold the event loop up. It is therefore opened once more, so as not to block:
setting the flag on standard error itself would set it for every process that shares it. What does not get in at once
goes to a thread, and so does all that comes while the thread is not through: lines keep their order.
"""

import os
import select
import stat
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO, Final, NamedTuple

BOUND: Final = 8 << 20
"""Bytes that may wait for the thread: at most speed, what a server logs in half a second."""
_BATCH: Final = 64 << 10
"""Bytes that the thread writes in one call, or a little more: what a pipe takes."""


class _Chunk(NamedTuple):
    data: bytes
    lines: int


class Writer:
    """Writes to a stream without waiting for it; only `wait` does. `write` is for one thread at a time.

    `bound`: bytes that may wait; beyond, lines are dropped and counted. `through` is called by the thread when it has
    written all that there was after some had been dropped.
    """

    def __init__(self, stream: BinaryIO, through: Callable[[], None], *, bound: int = BOUND) -> None:
        self._stream = stream
        self._fd = _descriptor(stream)
        self._quick = None if self._fd is None else _quick(self._fd)
        self._through = through
        self._bound = bound
        self._queue: SimpleQueue[_Chunk | threading.Event | None] = SimpleQueue()
        """Its `put` takes no lock that a finaliser, which may log, could wait for in vain."""
        self._thread: threading.Thread | None = None
        # Each number is written by one thread only, so that none needs a lock.
        self._handed = 0
        """Bytes that the thread was given so far."""
        self._finished = 0
        """Bytes that the thread was given and is through with."""
        self._refused = 0
        self._failed = 0
        self.lossy = False
        """Whether lines were dropped since somebody last set this to False."""

    @property
    def dropped(self) -> int:
        """Lines that were not written, because the stream was slow or broken."""
        return self._refused + self._failed

    @property
    def waiting(self) -> int:
        """Bytes that wait for the thread."""
        return self._handed - self._finished

    @property
    def full(self) -> bool:
        """Whether there is only room for lines that matter more than most: the last eighth of the bound."""
        return self.waiting > self._bound - self._bound // 8

    def drop(self, lines: int) -> None:
        """Count lines that are not to be written."""
        self._refused += lines
        self.lossy = True

    def write(self, data: bytes, lines: int) -> bool:
        """Write so many lines, now or later, or drop them; say whether all of them are written now."""
        waiting = self.waiting
        try:
            written = 0 if waiting else self._written(data)
        except (OSError, ValueError):  # closed, full or broken
            self.drop(lines)
            return False
        if written == len(data):
            return True
        if waiting + len(data) > self._bound and waiting:
            self.drop(lines)
        else:
            self._hand_over(_Chunk(data[written:], lines))
        return False

    def wait(self, seconds: float) -> bool:
        """Wait at most so long until the thread is through with what it has now; say whether it is."""
        if not self.waiting:
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(max(seconds, 0.0))

    def end(self) -> None:
        """Write nothing more, once what waits is written."""
        if self._thread:
            self._queue.put(None)
        else:
            self._close()

    def _written(self, data: bytes) -> int:
        """Write what the stream takes at once, and return how many bytes that is."""
        if self._fd is None:
            self._stream.write(data)
            self._stream.flush()
            return len(data)
        if self._quick is None:
            return 0
        try:
            return os.write(self._quick, data)
        except BlockingIOError:
            return 0

    def _hand_over(self, chunk: _Chunk) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="askd-log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there may be no more threads, or the interpreter ends
                self.drop(chunk.lines)
                return
            self._thread = thread
        self._handed += len(chunk.data)
        self._queue.put(chunk)

    def _run(self) -> None:
        chunks: list[_Chunk] = []
        size = 0
        while True:
            item = self._queue.get()
            if isinstance(item, _Chunk):
                chunks.append(item)
                size += len(item.data)
                if size < _BATCH and not self._queue.empty():
                    continue
            if chunks:
                self._write_out(chunks)
                chunks, size = [], 0
            if isinstance(item, threading.Event):
                item.set()
            if item is None:
                break
        self._close()

    def _write_out(self, chunks: list[_Chunk]) -> None:
        """Write chunks, however long that takes; where they cannot be written they are dropped."""
        data = b"".join(chunk.data for chunk in chunks)
        whole = True
        try:
            _wait_and_write(self._stream.fileno(), memoryview(data))
        except (OSError, ValueError):
            whole = False
            self._failed += sum(chunk.lines for chunk in chunks)
            self.lossy = True
        self._finished += len(data)
        if whole and self.lossy and not self.waiting:
            self._through()

    def _close(self) -> None:
        if self._quick is not None and self._quick != self._fd:
            os.close(self._quick)


def _descriptor(stream: BinaryIO) -> int | None:
    """Return the number of what a stream writes to; None: it has none, it is in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _quick(fd: int) -> int | None:
    """Return what writes to the same without waiting; None: nothing does, so that only the thread writes.

    A file or /dev/null waits for no reader. A pipe or a terminal is opened once more, on Linux and where that is
    allowed. A socket cannot be.
    """
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)):
            return fd
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None


def _wait_and_write(fd: int, data: memoryview) -> None:
    """Write all, in as few calls as can be: after each the thread has to wait for the interpreter's lock."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody who shares it wants it so
            room = select.poll()
            room.register(fd, select.POLLOUT)
            room.poll()
