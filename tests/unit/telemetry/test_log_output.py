"""What becomes of log lines where standard error is slow, stands still or is broken: nobody waits for it."""

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

from service.telemetry.output import Output
from tests.telemetry.captured import Captured

BOUND: Final = 30.0
"""Seconds after which something that should happen is taken never to happen."""
ROOM: Final = 64 << 10
"""Bytes that may wait."""


class Pipe:
    """A pipe that takes one page, and an output that writes to it; nobody reads until the test does."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        self._left = False
        self.takes = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        self.stream = os.fdopen(write, "wb", buffering=0)
        self.output = Output(self.stream, bound=ROOM)

    def read(self, until: str) -> list[str]:
        """Return the lines that come until one has this text."""
        found = b""
        while until.encode() not in found or not found.endswith(b"\n"):
            found += os.read(self._read, 1 << 16)
        return found.decode().splitlines()

    def ready(self) -> bytes:
        """Return what can be read now, without waiting."""
        os.set_blocking(self._read, False)
        try:
            return os.read(self._read, 1 << 16)
        finally:
            os.set_blocking(self._read, True)

    def leave(self) -> None:
        """Read nothing more, ever."""
        if not self._left:
            os.close(self._read)
        self._left = True

    def close(self) -> None:
        """Release it, and with it the output's thread."""
        self.leave()
        self.output.close(BOUND)
        self.output.stream = io.BytesIO()
        self.stream.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Give a pipe, under a log in JSON."""
    with Captured():
        made = Pipe()
        yield made
        made.close()


def in_time(work: Callable[[], Any]) -> None:
    """Do what must not wait for anybody, in a thread that the test can do without where it does."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive()


def line(made: Any, _: float) -> bytes:
    """Make a line of half a kilobyte, as an exchange's is made."""
    return f"{made:06d}".ljust(512, ".").encode()


def flood(output: Output) -> None:
    """Log a thousand exchanges, ten in each turn of a loop."""

    async def turn() -> None:
        for start in range(0, 1000, 10):
            for number in range(start, start + 10):
                output.soon((line, number, 0.0))
            output.flush()
            await asyncio.sleep(0)

    asyncio.run(turn())


def log(output: Output, lines: int) -> None:
    """Log so many lines that are no exchanges."""
    for number in range(lines):
        output.msg(line(number, 0.0))


def numbers(lines: list[str]) -> list[int]:
    """Return the numbers of those lines that `line` has made."""
    return [int(each[:6]) for each in lines if each.endswith("...")]


def test_a_line_is_written_when_it_is_logged(pipe: Pipe) -> None:
    """Where the stream takes it, a line is there when the call returns, and those that waited before it."""

    async def log_both() -> None:
        pipe.output.soon((line, 1, 0.0))
        pipe.output.msg("now")

    asyncio.run(log_both())
    assert pipe.ready() == line(1, 0.0) + b"\nnow\n"


def test_the_loop_goes_on_while_nobody_reads(pipe: Pipe) -> None:
    """Exchanges are logged into a pipe that is full: the loop turns, no more than the bound waits, the rest counts."""
    in_time(lambda: flood(pipe.output))
    assert pipe.output._writer.waiting <= ROOM
    most = (ROOM + pipe.takes) // 513 + 1
    assert 1000 - most <= pipe.output.dropped < 1000 - most // 2


def test_when_it_is_read_again_the_log_says_what_is_lost(pipe: Pipe) -> None:
    """What was kept comes in its order, whole; then one line with the number of those that did not, and it goes on."""
    output = pipe.output
    in_time(lambda: flood(output))
    lost = output.dropped
    lines = pipe.read("log lines dropped")
    kept = numbers(lines)
    assert kept == list(range(1000 - lost))
    told = json.loads(lines[-1])
    assert (told["event"], told["level"], told["lines"], len(lines)) == (
        "log lines dropped",
        "warning",
        lost,
        1001 - lost,
    )
    output.msg("after")
    assert pipe.read("after") == ["after"]
    assert output.dropped == lost


def test_other_lines_get_in_where_exchanges_do_not(pipe: Pipe) -> None:
    """The last part of the bound is for what is no exchange: the error during the flood is in the log afterwards."""
    in_time(lambda: flood(pipe.output))
    in_time(lambda: pipe.output.msg("the error"))
    lines = pipe.read("log lines dropped")
    assert lines[-2] == "the error"
    assert numbers(lines) == list(range(len(lines) - 2))


def test_what_is_no_exchange_is_bounded_too(pipe: Pipe) -> None:
    """Nothing at all goes beyond the bound."""
    in_time(lambda: log(pipe.output, 500))
    assert pipe.output._writer.waiting <= ROOM
    assert pipe.output.dropped > 0


def test_the_end_waits_for_a_slow_reader(pipe: Pipe) -> None:
    """Closing writes all that waits, as long as that takes no longer than it may."""
    log(pipe.output, 100)
    pipe.output.msg("the last")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read("the last")))
    reader.start()
    assert pipe.output.close(BOUND)
    reader.join()
    assert (numbers(lines), lines[-1]) == (list(range(100)), "the last")


def test_the_end_does_not_wait_for_ever(pipe: Pipe) -> None:
    """Where nobody reads, closing gives up at its bound, and at once where it has given up before."""
    log(pipe.output, 100)
    assert not pipe.output.close(0.01)
    in_time(lambda: pipe.output.close(1e6))


def test_a_reader_that_leaves_costs_the_lines(pipe: Pipe) -> None:
    """A broken pipe raises nothing, at once or in the thread; its lines count as dropped, and nothing waits."""
    log(pipe.output, 20)
    pipe.leave()
    pipe.output.msg("at once")
    assert pipe.output.close(BOUND)
    pipe.output.msg("at once")
    assert pipe.output.dropped >= 2
    assert pipe.output._writer.waiting == 0


def test_a_socket_is_written_by_the_thread() -> None:
    """What cannot be opened a second time holds nobody up either, and keeps the order."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with Captured(), ours, theirs, os.fdopen(os.dup(ours.fileno()), "wb", buffering=0) as stream:
        output = Output(stream, bound=1 << 20)
        in_time(lambda: log(output, 500))
        output.msg("the last")
        with theirs.makefile() as lines:
            found = [next(lines).rstrip() for _ in range(501)]
        output._writer.end()
    assert (numbers(found), found[-1], output.dropped) == (list(range(500)), "the last", 0)


def test_a_terminal_that_stands_still_holds_nobody_up() -> None:
    """A terminal that takes nothing, as after Ctrl-S, costs the loop nothing, and gets all lines when it goes on."""
    ours, theirs = os.openpty()
    with Captured(), os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "wb", buffering=0) as stream:
        output = Output(stream)
        in_time(lambda: log(output, 500))
        found = b""
        while b"000499" not in found or not found.endswith(b"\n"):
            found += screen.read(1 << 16)
        output._writer.end()
    assert numbers(found.decode().splitlines()) == list(range(500))


def test_a_file_is_written_at_once(tmp_path: Path) -> None:
    """A file has the line when the call returns: no thread is needed, and none is there."""
    with (tmp_path / "log").open("wb") as stream:
        output = Output(stream)
        output.msg("a")
        assert (tmp_path / "log").read_text() == "a\n"
        assert output._writer._thread is None


class Talking(io.BytesIO):
    """A stream that logs while it is written to, as a finaliser may."""

    output: Output

    def write(self, data: Any) -> int:
        """Log once, then write."""
        if b"first" in data:
            self.output.msg("within")
        return super().write(data)


def test_who_logs_while_a_line_is_written_waits_for_nobody() -> None:
    """A line out of the writing of another, in the same thread, comes after it."""
    stream = Talking()
    stream.output = Output(stream)
    in_time(lambda: stream.output.msg("first"))
    assert stream.getvalue() == b"first\nwithin\n"


class Full(io.BytesIO):
    """A stream with no room, until there is."""

    full = True

    def write(self, data: Any) -> int:
        """Write, or fail as a full disk does."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_told_of_when_there_is_room() -> None:
    """Lines that could not be written are counted, and named after the first that can."""
    stream: Any = Full()
    with Captured():
        output = Output(stream)
        output.msg("lost")
        output.msg("lost")
        stream.full = False
        output.msg("kept")
    kept, told = stream.getvalue().decode().splitlines()
    assert (kept, json.loads(told)["lines"], output.dropped) == ("kept", 2, 2)


def script(code: str) -> "subprocess.CompletedProcess[str]":
    """Run some Python that logs to its standard error, and read that to its end."""
    head = "import os, threading\nfrom service.telemetry.output import output\n"
    arguments = [sys.executable, "-c", head + code]
    return subprocess.run(
        arguments, cwd=Path(__file__).parents[2], capture_output=True, check=False, text=True, timeout=BOUND
    )


def test_nothing_is_lost_at_a_normal_end() -> None:
    """A process that logs more than its pipe takes, and ends, has written all of it."""
    done = script("for number in range(5000): output.msg(f'{number:06d}'.ljust(512, '.'))")
    assert (done.returncode, numbers(done.stderr.splitlines())) == (0, list(range(5000)))


FORKED: Final = """
read, write = os.pipe()
output.stream = open(write, 'wb', buffering=0)
for number in range(1000):
    output.msg('x' * 1000)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
output.msg('the child')
def look():
    found = b''
    while b'the child' not in found:
        found = found[-20:] + os.read(read, 4096)
threading.Thread(target=look).start()
os._exit(0 if output.close(20) else 1)
"""


def test_a_forked_process_logs_too() -> None:
    """A fork has neither the thread nor what waits for it: its own lines are written all the same."""
    assert script(FORKED).returncode == 0


def test_who_shares_the_stream_notices_nothing(pipe: Pipe) -> None:
    """The description that other processes share is left as it was: their writes still wait."""
    in_time(lambda: log(pipe.output, 100))
    assert os.get_blocking(pipe.stream.fileno())
