"""Log output: standard error, written line by line, or in batches for request lines.

Logging never waits for standard error. A pipe with a stalled reader would block the event loop, so `LogWriter` opens
the pipe a second time with O_NONBLOCK (setting the flag on standard error would change it for every process that shares
it). Data that the pipe does not accept goes to a thread, as does all later data until the thread has caught up.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO, Final, NamedTuple

import structlog

DeferredLine = tuple[Callable[[Any, Any], bytes], Any, Any]
"""A line that is formatted when it is written: the function and its two arguments."""

BATCH_INTERVAL: Final = 0.01
"""Seconds between two batches of deferred lines: not noticeable to people, and hundreds of lines on a busy server."""
EXIT_FLUSH_TIMEOUT: Final = 1.0
"""Seconds to wait for pending lines at interpreter exit, if `close` was not called before."""
MAX_PENDING_BYTES: Final = 8 << 20
"""Bytes that may wait for the thread: half a second of log at full load."""
_BATCH_BYTES: Final = 64 << 10
"""Bytes that the thread writes with one call, or slightly more: the capacity of a pipe."""
_ERASE_LINE: Final = b"\r\x1b[2K"


class LogStream:
    """Writes log lines to a stream.

    Attributes:
        level: Minimum level, as a number of `logging`.
        as_json: Whether lines are JSON; otherwise they are for people.
        use_colors: Whether lines for people are coloured.

    Args:
        stream: Binary stream.
        max_pending_bytes: Bytes that may wait for a slow stream; lines beyond are dropped.
    """

    def __init__(self, stream: BinaryIO, *, max_pending_bytes: int = MAX_PENDING_BYTES) -> None:
        self._log, self._max_pending_bytes = structlog.wrap_logger(self), max_pending_bytes
        self.level = logging.INFO
        self.as_json = True
        self.use_colors = False
        self._footer = b""
        self._pending_lines: deque[bytes | DeferredLine] = deque()
        self._stream = stream
        self._create_writer()

    def _create_writer(self) -> None:
        self._write_lock = threading.Lock()
        """Never waited for: if it is taken, its holder also writes our lines (so finalizers may log)."""
        self._writer = LogWriter(self._stream, self._on_caught_up, max_pending_bytes=self._max_pending_bytes)
        self._dropped_by_old_writers = 0
        """Lines that were dropped on the way to earlier streams."""
        self._reported_dropped = 0
        """Dropped lines that `log_lines_dropped` has reported."""
        self._close_timed_out = False

    @property
    def stream(self) -> BinaryIO:
        """Stream that lines are written to. A new stream receives only the lines that are logged from then on."""
        return self._stream

    @stream.setter
    def stream(self, stream: BinaryIO) -> None:
        with self._write_lock:
            old, self._stream = self._writer, stream
            self._dropped_by_old_writers = self.dropped_lines
            self._writer = LogWriter(stream, self._on_caught_up, max_pending_bytes=self._max_pending_bytes)
            self._close_timed_out = False
            old.close()

    @property
    def dropped_lines(self) -> int:
        """Lines lost so far because the stream was slow or broken."""
        return self._dropped_by_old_writers + self._writer.dropped_lines

    def msg(self, line: bytes | str) -> None:
        """Write one line after all pending lines; lines of several threads do not mix.

        A slow, full, broken or closed stream loses the line, and never delays or fails the caller.
        """
        self._pending_lines.append(line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace"))
        self.flush()

    debug = info = warning = error = critical = exception = log = msg

    def write_later(self, line: DeferredLine) -> None:
        """Format and write the line within `BATCH_INTERVAL`, in one batch with others. Needs a running loop.

        One system call per line costs more than the line itself, and formatting lines in a batch takes half the time
        of formatting them between other work (measured). A crash loses at most one batch.
        """
        pending = self._pending_lines
        pending.append(line)
        try:
            if pending[0] is line:  # the first line of a batch schedules the flush
                asyncio.get_running_loop().call_later(BATCH_INTERVAL, self.flush)
        except IndexError:
            pass  # another thread has written it already

    @property
    def is_terminal(self) -> bool:
        """Whether lines are for people and the stream is a terminal."""
        return not self.as_json and self.stream.isatty()

    def set_footer(self, text: str) -> None:
        """Show a line below the log, in place of the previous one; empty removes it. Only for terminals.

        The footer stays below lines that are written while it is shown.
        """
        if text or self._footer:
            with self._write_lock:
                self._footer = text.encode(errors="replace")
                if not (text and self._writer.pending_bytes):
                    self._writer.write(_ERASE_LINE + self._footer, 0)
            self.flush()

    def flush(self) -> None:
        """Write pending lines, as far as the stream accepts them immediately. Safe in any thread."""
        while self._pending_lines and self._write_lock.acquire(blocking=False):
            try:
                self._write_pending()
            finally:
                self._write_lock.release()

    def close(self, seconds: float) -> bool:
        """Write pending lines; return whether the stream accepted all of them within `seconds`.

        Lines may still be logged afterwards. After a timeout, later calls do not wait for this stream again.
        """
        deadline = time.monotonic() + seconds
        if self._write_lock.acquire(timeout=max(seconds, 0.0)):
            self._write_lock.release()
        self.flush()
        seconds_left = 0.0 if self._close_timed_out else deadline - time.monotonic()
        self._close_timed_out = not self._writer.wait_until_written(seconds_left)
        return not self._close_timed_out

    def reset_after_fork(self) -> None:
        """Restore a usable state in a forked process, which lacks the writer thread and may have a locked lock.

        Pending lines belong to the parent, which writes them.
        """
        self._pending_lines.clear()
        self._create_writer()

    def _write_pending(self) -> None:
        writer, lines, is_nearly_full, dropped = self._writer, [], self._writer.is_nearly_full, 0
        with contextlib.suppress(IndexError):
            while True:
                line = self._pending_lines.popleft()
                if isinstance(line, bytes):
                    lines.append(line)
                elif is_nearly_full:
                    dropped += 1
                else:
                    lines.append(line[0](line[1], line[2]))
        if dropped:
            writer.count_dropped(dropped)
        if lines:
            data = b"\n".join(lines) + b"\n"
            if (
                writer.write(_ERASE_LINE + data + self._footer if self._footer else data, len(lines))
                and writer.has_unreported_drops
            ):
                self._report_dropped()

    def _report_dropped(self) -> None:
        """Log how many lines were lost since the last report, now that the stream accepts lines again."""
        self._writer.has_unreported_drops = False
        dropped = self.dropped_lines
        new_drops, self._reported_dropped = dropped - self._reported_dropped, dropped
        if new_drops:
            self._log.warning("log_lines_dropped", count=new_drops)

    def _on_caught_up(self) -> None:
        with self._write_lock:
            self._report_dropped()
        self.flush()


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
        data, succeeded = b"".join(chunk.data for chunk in chunks), False
        try:
            _write_blocking(self._stream.fileno(), memoryview(data))
            succeeded = True
        except (OSError, ValueError):
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
    with contextlib.suppress(OSError, ValueError):
        return stream.fileno()
    return None


def _open_nonblocking(fd: int) -> int | None:
    """Return a descriptor that writes to the same file without blocking, None if only the thread can write.

    Files and /dev/null never block; pipes and terminals are opened a second time (on Linux); sockets cannot be opened.
    """
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)):
            return fd
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None


def _write_blocking(fd: int, data: memoryview) -> None:
    """Write everything in as few calls as possible: the thread waits for the GIL after each."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # another process that shares the pipe has set O_NONBLOCK
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()


log_stream = LogStream(sys.stderr.buffer)
"""The only output of the process, because there is only one standard error."""

atexit.register(log_stream.close, EXIT_FLUSH_TIMEOUT)
os.register_at_fork(after_in_child=log_stream.reset_after_fork)
