"""Log output: standard error, written line by line, or in batches for request lines.

Logging never waits for standard error: see `LogWriter` for lines that the stream does not accept immediately.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import structlog

from askd.telemetry.log_writer import MAX_PENDING_BYTES, LogWriter

DeferredLine = tuple[Callable[[Any, Any], bytes], Any, Any]
"""A line that is formatted when it is written: the function and its two arguments."""

BATCH_INTERVAL: Final = 0.01
"""Seconds between two batches of deferred lines: not noticeable to people, and hundreds of lines on a busy server."""
EXIT_FLUSH_TIMEOUT: Final = 1.0
"""Seconds to wait for pending lines at interpreter exit, if `close` was not called before."""
_ERASE_LINE: Final = b"\r\x1b[2K"


class LogOutput:
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
        self._max_pending_bytes = max_pending_bytes
        self._log = structlog.wrap_logger(self)
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
        is_done = self._writer.wait_until_written(0.0 if self._close_timed_out else deadline - time.monotonic())
        self._close_timed_out = not is_done
        return is_done

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


log_output = LogOutput(sys.stderr.buffer)
"""The only output of the process, because there is only one standard error."""

atexit.register(log_output.close, EXIT_FLUSH_TIMEOUT)
os.register_at_fork(after_in_child=log_output.reset_after_fork)


_last_timestamp: Final = [(-1, "")]
"""The millisecond that was formatted last, and its text: one item, so that threads see a consistent pair."""


def format_timestamp() -> str:
    """Return the current time in UTC with milliseconds, as in RFC 3339."""
    millisecond = time.time_ns() // 1_000_000
    last_millisecond, text = _last_timestamp[0]
    if millisecond != last_millisecond:
        seconds, remainder = divmod(millisecond, 1000)
        is_same_second = last_millisecond // 1000 == seconds
        before = text[:20] if is_same_second else time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
        text = f"{before}{remainder:03d}Z"
        _last_timestamp[0] = millisecond, text
    return text
