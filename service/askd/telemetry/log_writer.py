"""Non-blocking writer for log streams: it writes immediately if the stream accepts the data, otherwise in a thread.

A pipe with a stalled reader would block the event loop. The writer therefore opens the pipe a second time with
O_NONBLOCK, because setting the flag on standard error would change it for every process that shares it. Data that the
pipe does not accept goes to a thread, as does all later data until the thread has caught up: lines keep their order.
"""

import os
import select
import stat
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO, Final, NamedTuple

MAX_PENDING_BYTES: Final = 8 << 20
"""Bytes that may wait for the thread: half a second of log at full load."""
_BATCH_BYTES: Final = 64 << 10
"""Bytes that the thread writes with one call, or slightly more: the capacity of a pipe."""


class _Chunk(NamedTuple):
    data: bytes
    lines: int


class LogWriter:
    """Writes to a stream without blocking; only `wait_until_written` blocks. One thread at a time may call `write`.

    Args:
        stream: Binary stream, with or without a file descriptor.
        on_caught_up: Called by the writer thread when it has written everything after lines were dropped.
        max_pending_bytes: Bytes that may wait for the thread; lines beyond are dropped and counted.
    """

    def __init__(
        self, stream: BinaryIO, on_caught_up: Callable[[], None], *, max_pending_bytes: int = MAX_PENDING_BYTES
    ) -> None:
        self._stream = stream
        self._fd = _file_descriptor(stream)
        self._nonblocking_fd = None if self._fd is None else _open_nonblocking(self._fd)
        self._on_caught_up = on_caught_up
        self._max_pending_bytes = max_pending_bytes
        self._queue: SimpleQueue[_Chunk | threading.Event | None] = SimpleQueue()
        """A SimpleQueue, whose `put` is reentrant: a finalizer that logs cannot deadlock."""
        self._thread: threading.Thread | None = None
        # Each counter is written by one thread only, so none needs a lock.
        self._enqueued_bytes = 0
        self._processed_bytes = 0
        self._rejected_lines = 0
        self._failed_lines = 0
        self.has_unreported_drops = False
        """Whether lines were dropped since the caller last reset this."""

    @property
    def dropped_lines(self) -> int:
        """Lines that were not written because the stream was slow or broken."""
        return self._rejected_lines + self._failed_lines

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for the writer thread."""
        return self._enqueued_bytes - self._processed_bytes

    @property
    def is_nearly_full(self) -> bool:
        """Whether only an eighth of the space is left, which is reserved for lines other than requests."""
        return self.pending_bytes > self._max_pending_bytes - self._max_pending_bytes // 8

    def count_dropped(self, lines: int) -> None:
        """Count lines that the caller drops."""
        self._rejected_lines += lines
        self.has_unreported_drops = True

    def write(self, data: bytes, lines: int) -> bool:
        """Write the lines now, hand them to the thread, or drop them; return whether they are written already.

        Args:
            data: The lines.
            lines: Their number, for the count of dropped lines.
        """
        pending = self.pending_bytes
        try:
            written = 0 if pending else self._write_nonblocking(data)
        except (OSError, ValueError):  # closed, full or broken
            self.count_dropped(lines)
            return False
        if written == len(data):
            return True
        if pending + len(data) > self._max_pending_bytes and pending:
            self.count_dropped(lines)
        else:
            self._enqueue(_Chunk(data[written:], lines))
        return False

    def wait_until_written(self, seconds: float) -> bool:
        """Wait until the thread has processed the data that is pending now; return False after `seconds`."""
        if not self.pending_bytes:
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(max(seconds, 0.0))

    def close(self) -> None:
        """Stop after the pending data is written."""
        if self._thread:
            self._queue.put(None)
        else:
            self._close_descriptor()

    def _write_nonblocking(self, data: bytes) -> int:
        """Write as much as the stream accepts immediately; return the number of bytes."""
        if self._fd is None:
            self._stream.write(data)
            self._stream.flush()
            return len(data)
        if self._nonblocking_fd is None:
            return 0
        try:
            return os.write(self._nonblocking_fd, data)
        except BlockingIOError:
            return 0

    def _enqueue(self, chunk: _Chunk) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="askd-log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the thread limit is reached, or the interpreter is shutting down
                self.count_dropped(chunk.lines)
                return
            self._thread = thread
        self._enqueued_bytes += len(chunk.data)
        self._queue.put(chunk)

    def _run(self) -> None:
        chunks: list[_Chunk] = []
        size = 0
        while True:
            item = self._queue.get()
            if isinstance(item, _Chunk):
                chunks.append(item)
                size += len(item.data)
                if size < _BATCH_BYTES and not self._queue.empty():
                    continue
            if chunks:
                self._write_chunks(chunks)
                chunks, size = [], 0
            if isinstance(item, threading.Event):
                item.set()
            if item is None:
                break
        self._close_descriptor()

    def _write_chunks(self, chunks: list[_Chunk]) -> None:
        """Write the chunks, blocking; drop them if the stream is broken."""
        data = b"".join(chunk.data for chunk in chunks)
        succeeded = True
        try:
            _write_blocking(self._stream.fileno(), memoryview(data))
        except (OSError, ValueError):
            succeeded = False
            self._failed_lines += sum(chunk.lines for chunk in chunks)
            self.has_unreported_drops = True
        self._processed_bytes += len(data)
        if succeeded and self.has_unreported_drops and not self.pending_bytes:
            self._on_caught_up()

    def _close_descriptor(self) -> None:
        if self._nonblocking_fd is not None and self._nonblocking_fd != self._fd:
            os.close(self._nonblocking_fd)


def _file_descriptor(stream: BinaryIO) -> int | None:
    """Return the descriptor of the stream, None for a stream in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _open_nonblocking(fd: int) -> int | None:
    """Return a descriptor that writes to the same file without blocking, None if only the thread can write.

    Files and /dev/null never block. Pipes and terminals are opened a second time, which needs Linux and permission.
    Sockets cannot be opened.
    """
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)):
            return fd
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None


def _write_blocking(fd: int, data: memoryview) -> None:
    """Write everything in as few calls as possible: after each call the thread has to wait for the GIL."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # another process that shares the pipe has set O_NONBLOCK
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
