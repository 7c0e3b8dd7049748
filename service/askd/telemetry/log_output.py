"""Where log lines go: standard error, one write for a line, or for the exchanges of a hundredth of a second.

Nobody who logs waits for standard error: `Writer` says what becomes of lines that it does not take at once.
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

from service.telemetry.writer import BOUND, Writer

Later = tuple[Callable[[Any, float], bytes], Any, float]
"""A line that is yet to be made: what makes it, and what it is made from."""

BATCH: Final = 0.01
"""Seconds: a line comes late by less than people see, and a batch of a busy server has hundreds."""
AT_EXIT: Final = 1.0
"""Seconds for lines that wait when the interpreter ends, where nobody has seen to them before."""
_ERASE: Final = b"\r\x1b[2K"


class Output:
    """Writes lines. `stream` takes bytes; `level` is one of `logging`'s numbers; `json` says in which form.

    `bound`: bytes that may wait for a stream that is slow; what comes on top is dropped.
    """

    def __init__(self, stream: BinaryIO, *, bound: int = BOUND) -> None:
        self._bound = bound
        self._log = structlog.wrap_logger(self)
        self.level = logging.INFO
        self.json = True
        self._foot = b""
        self._soon: deque[bytes | Later] = deque()
        self._stream = stream
        self._begin()

    def _begin(self) -> None:
        self._writing = threading.Lock()
        """Held by who writes. Who cannot have it leaves its lines to them: nobody waits, nor a finaliser for itself."""
        self._writer = Writer(self._stream, self._through, bound=self._bound)
        self._dropped_before = 0
        """Lines that were dropped on the way to other streams."""
        self._told = 0
        """Dropped lines that a line has told of."""
        self._over = False

    @property
    def stream(self) -> BinaryIO:
        """What the lines are written to. One that replaces another gets those that come from then on."""
        return self._stream

    @stream.setter
    def stream(self, stream: BinaryIO) -> None:
        with self._writing:
            old, self._stream = self._writer, stream
            self._dropped_before = self.dropped
            self._writer = Writer(stream, self._through, bound=self._bound)
            self._over = False
            old.end()

    @property
    def dropped(self) -> int:
        """Lines that were lost so far, because the stream was slow or broken."""
        return self._dropped_before + self._writer.dropped

    def msg(self, line: bytes | str) -> None:
        """Write one line, so that lines of several threads do not mix; what waits goes before it.

        A stream that is closed, full or broken costs the line, and not the answer that the line is about; neither does
        one that is slow.
        """
        self._soon.append(line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace"))
        self.flush()

    debug = info = warning = error = critical = exception = log = msg

    def soon(self, line: Later) -> None:
        """Make and write one line within `BATCH` of the running loop's time, with the others until then in one call.

        A system call for each line costs more than the line, and lines made one after another cost half of what they
        cost between other work (measured). What is lost in a crash is one batch.
        """
        waiting = self._soon
        waiting.append(line)
        try:
            if waiting[0] is line:  # who put the first line there sees to the rest
                asyncio.get_running_loop().call_later(BATCH, self.flush)
        except IndexError:
            pass  # another thread has written it already

    @property
    def terminal(self) -> bool:
        """Whether a person watches: lines are for reading, and go to a terminal."""
        return not self.json and self.stream.isatty()

    def foot(self, text: str) -> None:
        """Show this text below the last line, in place of the one that stands there; only for terminals. Empty: none.

        It stays below the lines that are written while it is shown.
        """
        if text or self._foot:
            with self._writing:
                self._foot = text.encode(errors="replace")
                if not (text and self._writer.waiting):
                    self._writer.write(_ERASE + self._foot, 0)
            self.flush()

    def flush(self) -> None:
        """Write what waits, as far as the stream takes it at once; any thread may."""
        while self._soon and self._writing.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._writing.release()

    def close(self, seconds: float) -> bool:
        """Write what waits, and wait at most so long until that is done; say whether it is.

        Lines may come after it. A stream that did not take all in its time gets no more of it.
        """
        until = time.monotonic() + seconds
        if self._writing.acquire(timeout=max(seconds, 0.0)):
            self._writing.release()
        self.flush()
        done = self._writer.wait(0.0 if self._over else until - time.monotonic())
        self._over = not done
        return done

    def renew(self) -> None:
        """Begin anew in a forked process, without the thread and, it may be, without the lock; no line comes twice."""
        self._soon.clear()
        self._begin()

    def _flush(self) -> None:
        writer, lines, full, dropped = self._writer, [], self._writer.full, 0
        with contextlib.suppress(IndexError):
            while True:
                line = self._soon.popleft()
                if isinstance(line, bytes):
                    lines.append(line)
                elif full:
                    dropped += 1
                else:
                    lines.append(line[0](line[1], line[2]))
        if dropped:
            writer.drop(dropped)
        if lines:
            written = b"\n".join(lines) + b"\n"
            if writer.write(_ERASE + written + self._foot if self._foot else written, len(lines)) and writer.lossy:
                self._tell()

    def _tell(self) -> None:
        """Say how many lines were lost since that was said last, now that the stream takes some again."""
        self._writer.lossy = False
        dropped = self.dropped
        lost, self._told = dropped - self._told, dropped
        if lost:
            self._log.warning("log lines dropped", lines=lost)

    def _through(self) -> None:
        """Take note that what had to wait is written."""
        with self._writing:
            self._tell()
        self.flush()


output = Output(sys.stderr.buffer)
"""The process's one output: standard error is one, too."""

atexit.register(output.close, AT_EXIT)
os.register_at_fork(after_in_child=output.renew)


_last = [(-1, "")]
"""The millisecond that was formatted last, and its text: one item, so that threads see both or neither."""


def now() -> str:
    """Return the time in UTC to the millisecond, as RFC 3339 writes it."""
    millisecond = time.time_ns() // 1_000_000
    known, text = _last[0]
    if millisecond != known:
        seconds, part = divmod(millisecond, 1000)
        before = text[:20] if known // 1000 == seconds else time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
        text = f"{before}{part:03d}Z"
        _last[0] = millisecond, text
    return text
