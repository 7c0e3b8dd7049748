"""Where log lines go: standard error, one write for a line, or for all the exchanges of one turn of the loop."""

import asyncio
import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO, Final

Later = tuple[Callable[[Any, float], bytes], Any, float]
"""A line that is yet to be made: what makes it, and what it is made from."""

BATCH: Final = 0.01
"""Seconds: a line comes late by less than people see, and a batch of a busy server has hundreds."""
_ERASE: Final = b"\r\x1b[2K"


class Output:
    """Writes lines. `stream` takes bytes; `level` is one of `logging`'s numbers; `json` says in which form."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.level = logging.INFO
        self.json = True
        self._foot = b""
        self._soon: deque[bytes | Later] = deque()

    def msg(self, line: bytes | str) -> None:
        """Write one line, in one call, so that lines of several threads do not mix; what waits goes before it.

        A stream that is closed, full or broken costs the line, and not the answer that the line is about.
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
            self._foot = text.encode(errors="replace")
            self._write(_ERASE + self._foot)

    def flush(self) -> None:
        """Write what waits; any thread may."""
        lines = []
        with contextlib.suppress(IndexError):
            while True:
                line = self._soon.popleft()
                lines.append(line if isinstance(line, bytes) else line[0](line[1], line[2]))
        if lines:
            written = b"\n".join(lines) + b"\n"
            self._write(_ERASE + written + self._foot if self._foot else written)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(data)
            self.stream.flush()


output = Output(sys.stderr.buffer)
"""The process's one output: standard error is one, too."""


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
