"""Log output to a slow, stalled or broken stream: logging never blocks."""

import asyncio
import fcntl
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from askd.telemetry.log_stream import LogStream
from tests.support.log_capture import LogCapture

TIMEOUT: Final = 30.0
"""Seconds after which a test fails if something has not happened."""
MAX_PENDING_BYTES: Final = 64 << 10
"""Limit of the outputs in these tests."""


class Pipe:
    """A pipe with a capacity of one page, and an output that writes to it."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        self._reader_closed = False
        self.capacity = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        self.stream = os.fdopen(write, "wb", buffering=0)
        self.output = LogStream(self.stream, max_pending_bytes=MAX_PENDING_BYTES)

    def read_until(self, text: str) -> list[str]:
        """Read lines up to the one that contains the text."""
        data = b""
        while text.encode() not in data or not data.endswith(b"\n"):
            data += os.read(self._read, 1 << 16)
        return data.decode().splitlines()

    def read_available(self) -> bytes:
        """Read without waiting."""
        os.set_blocking(self._read, False)
        try:
            return os.read(self._read, 1 << 16)
        finally:
            os.set_blocking(self._read, True)

    def close_reader(self) -> None:
        """Close the reading end. Idempotent."""
        if not self._reader_closed:
            os.close(self._read)
        self._reader_closed = True

    def close(self) -> None:
        """Close both ends, and stop the thread of the output."""
        self.close_reader()
        self.output.close(TIMEOUT)
        self.output.stream = io.BytesIO()
        self.stream.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Return a pipe, while the log is JSON."""
    with LogCapture():
        pipe = Pipe()
        yield pipe
        pipe.close()


def run_in_time(work: Callable[[], Any]) -> None:
    """Run work that must not block, in a thread that the test can abandon if it does."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def format_line(number: Any, _: float) -> bytes:
    """Return a line of 512 bytes, as a deferred request line."""
    return f"{number:06d}".ljust(512, ".").encode()


def flood(output: LogStream) -> None:
    """Log a thousand deferred lines, ten per iteration of the event loop."""

    async def log_batches() -> None:
        for start in range(0, 1000, 10):
            for number in range(start, start + 10):
                output.write_later((format_line, number, 0.0))
            output.flush()
            await asyncio.sleep(0)

    asyncio.run(log_batches())


def log_lines(output: LogStream, lines: int) -> None:
    """Log ordinary lines, as all events but requests are."""
    for number in range(lines):
        output.msg(format_line(number, 0.0))


def line_numbers(lines: list[str]) -> list[int]:
    """Return the numbers of the lines of `format_line`."""
    return [int(line[:6]) for line in lines if line.endswith("...")]


def test_line_is_written_immediately(pipe: Pipe) -> None:
    """A line is written before the call returns, after the deferred lines before it."""

    async def log_both() -> None:
        pipe.output.write_later((format_line, 1, 0.0))
        pipe.output.msg("now")

    asyncio.run(log_both())
    assert pipe.read_available() == format_line(1, 0.0) + b"\nnow\n"


def test_full_pipe_does_not_block_the_loop(pipe: Pipe) -> None:
    """If nobody reads, the loop goes on, pending data is limited, and the other lines are counted as dropped."""
    run_in_time(lambda: flood(pipe.output))
    assert pipe.output._writer.pending_bytes <= MAX_PENDING_BYTES
    max_kept = (MAX_PENDING_BYTES + pipe.capacity) // 513 + 1
    assert 1000 - max_kept <= pipe.output.dropped_lines < 1000 - max_kept // 2


def test_dropped_lines_are_reported(pipe: Pipe) -> None:
    """When the pipe is read again, the kept lines come in order, then one line with the number of dropped lines."""
    output = pipe.output
    run_in_time(lambda: flood(output))
    dropped = output.dropped_lines
    lines = pipe.read_until("log_lines_dropped")
    assert line_numbers(lines) == list(range(1000 - dropped))
    report = json.loads(lines[-1])
    assert (report["event"], report["level"], report["count"]) == ("log_lines_dropped", "warning", dropped)
    assert len(lines) == 1001 - dropped
    output.msg("after")
    assert pipe.read_until("after") == ["after"]
    assert output.dropped_lines == dropped


def test_errors_are_kept_during_a_flood_of_requests(pipe: Pipe) -> None:
    """The last part of the space is reserved for lines other than requests."""
    run_in_time(lambda: flood(pipe.output))
    run_in_time(lambda: pipe.output.msg("the error"))
    lines = pipe.read_until("log_lines_dropped")
    assert lines[-2] == "the error"
    assert line_numbers(lines) == list(range(len(lines) - 2))


def test_ordinary_lines_are_limited_too(pipe: Pipe) -> None:
    """Pending data never exceeds the limit, whatever the lines are."""
    run_in_time(lambda: log_lines(pipe.output, 500))
    assert pipe.output._writer.pending_bytes <= MAX_PENDING_BYTES
    assert pipe.output.dropped_lines > 0


def test_close_waits_for_a_slow_reader(pipe: Pipe) -> None:
    """`close` writes all pending lines if that takes no longer than its timeout."""
    log_lines(pipe.output, 100)
    pipe.output.msg("the last")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_until("the last")))
    reader.start()
    assert pipe.output.close(TIMEOUT)
    reader.join()
    assert (line_numbers(lines), lines[-1]) == (list(range(100)), "the last")


def test_close_times_out(pipe: Pipe) -> None:
    """If nobody reads, `close` returns after its timeout, and immediately if it has timed out before."""
    log_lines(pipe.output, 100)
    assert not pipe.output.close(0.01)
    run_in_time(lambda: pipe.output.close(1e6))


def test_lines_to_a_broken_pipe_are_dropped(pipe: Pipe) -> None:
    """A broken pipe raises nothing, neither in the caller nor in the thread; its lines count as dropped."""
    log_lines(pipe.output, 20)
    pipe.close_reader()
    pipe.output.msg("before close")
    assert pipe.output.close(TIMEOUT)
    pipe.output.msg("after close")
    assert pipe.output.dropped_lines >= 2
    assert pipe.output._writer.pending_bytes == 0


def test_full_socket_does_not_block() -> None:
    """A socket, which cannot be opened a second time, does not block either, and lines keep their order."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with LogCapture(), ours, theirs, os.fdopen(os.dup(ours.fileno()), "wb", buffering=0) as stream:
        output = LogStream(stream, max_pending_bytes=1 << 20)
        run_in_time(lambda: log_lines(output, 500))
        output.msg("the last")
        with theirs.makefile() as lines:
            received = [next(lines).rstrip() for _ in range(501)]
        output._writer.close()
    assert (line_numbers(received), received[-1], output.dropped_lines) == (list(range(500)), "the last", 0)


def test_stopped_terminal_does_not_block() -> None:
    """A terminal that is stopped, as after Ctrl-S, does not block, and gets all lines when it continues."""
    ours, theirs = os.openpty()
    with LogCapture(), os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "wb", buffering=0) as stream:
        output = LogStream(stream)
        run_in_time(lambda: log_lines(output, 500))
        received = b""
        while b"000499" not in received or not received.endswith(b"\n"):
            received += screen.read(1 << 16)
        output._writer.close()
    assert line_numbers(received.decode().splitlines()) == list(range(500))


def test_files_need_no_thread(tmp_path: Path) -> None:
    """A file has the line when the call returns, without a writer thread."""
    with (tmp_path / "log").open("wb") as stream:
        output = LogStream(stream)
        output.msg("a")
        assert (tmp_path / "log").read_text() == "a\n"
        assert output._writer._thread is None


class LoggingStream(io.BytesIO):
    """A stream that logs while it is written to, as a finalizer might."""

    output: LogStream

    def write(self, data: Any) -> int:
        """Log a second line during the first."""
        if b"first" in data:
            self.output.msg("within")
        return super().write(data)


def test_logging_is_reentrant() -> None:
    """A line that is logged while another is written, in the same thread, comes after it."""
    stream = LoggingStream()
    stream.output = LogStream(stream)
    run_in_time(lambda: stream.output.msg("first"))
    assert stream.getvalue() == b"first\nwithin\n"


class FullDisk(io.BytesIO):
    """A stream without space while `full` is set."""

    full = True

    def write(self, data: Any) -> int:
        """Raise OSError while the disk is full."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_full_disk_is_reported_later() -> None:
    """Lines that cannot be written are counted and reported after the first line that can."""
    stream: Any = FullDisk()
    with LogCapture():
        output = LogStream(stream)
        output.msg("lost")
        output.msg("lost")
        stream.full = False
        output.msg("kept")
    kept, report = stream.getvalue().decode().splitlines()
    assert (kept, json.loads(report)["count"], output.dropped_lines) == ("kept", 2, 2)


def run_script(code: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code that logs with `output` to its standard error."""
    head = "import os, threading\nfrom askd.telemetry.log_stream import log_stream as output\n"
    arguments = [sys.executable, "-c", head + code]
    return subprocess.run(
        arguments, cwd=Path(__file__).parents[3], capture_output=True, check=False, text=True, timeout=TIMEOUT
    )


def test_exit_flushes_the_log() -> None:
    """A process that logs more than its pipe holds and exits has written everything."""
    result = run_script("for number in range(5000): output.msg(f'{number:06d}'.ljust(512, '.'))")
    assert (result.returncode, line_numbers(result.stderr.splitlines())) == (0, list(range(5000)))


FORKED: Final = """
read, write = os.pipe()
output.stream = open(write, 'wb', buffering=0)
for number in range(1000):
    output.msg('x' * 1000)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
output.msg('the child')
def read_pipe():
    received = b''
    while b'the child' not in received:
        received = received[-20:] + os.read(read, 4096)
threading.Thread(target=read_pipe).start()
os._exit(0 if output.close(20) else 1)
"""


def test_forked_process_can_log() -> None:
    """A forked process has neither the writer thread nor the pending lines, but writes its own lines."""
    assert run_script(FORKED).returncode == 0


def test_shared_pipe_stays_blocking(pipe: Pipe) -> None:
    """The flags of the pipe, which other processes share, are not changed: their writes still block."""
    run_in_time(lambda: log_lines(pipe.output, 100))
    assert os.get_blocking(pipe.stream.fileno())
