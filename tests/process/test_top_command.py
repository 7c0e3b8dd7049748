"""`askd top` as a person has it: on a terminal, with servers that go away and come back; and in a pipe."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from yarl import URL

from .conftest import BOUND, Process, Start
from .terminal import Terminal

Top = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[Top]:
    """Give `top(*urls, rows=…)`, which watches on a terminal of 80 columns, and looks often."""
    async with AsyncExitStack() as stack:

        async def started(*urls: str, rows: int = 24) -> Terminal:
            terminal = await Terminal.start(tmp_path, "top", *urls, "--interval", "200ms", rows=rows)
            stack.push_async_callback(terminal.close)
            return terminal

        yield started


@pytest.fixture
def refusing() -> Iterator[int]:
    """Give a port that is taken, and where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def value(frame: list[str], label: str) -> str:
    """What the panel has beside a label; empty: it has no such line."""
    return next((line.removeprefix(label).strip() for line in frame if line.startswith(label)), "")


async def served(start: Start, port: str = "0") -> Process:
    """A server that answers."""
    process = await start("serve", ASKD_PORT=port)
    await process.event("ready")
    return process


async def ask(process: Process) -> None:
    """Ask one question after another, until cancelled."""
    while True:
        await process.get("/ask?q=hello")


def idle(row: int, frame: list[str]) -> bool:
    """Whether nothing was answered lately by the server of this row."""
    return "–" in frame[row] and "ms" not in frame[row]


def alone(row: int, frame: list[str]) -> bool:
    """Whether the server of this row, and not the other one, has answered lately."""
    return "ms" in frame[row] and idle(3 - row, frame)


async def test_one_server_is_a_panel_that_moves(start: Start, top: Top) -> None:
    """Its figures follow what is asked, in place and within 80 columns; Ctrl-C ends it with 0, below what it showed."""
    process = await served(start)
    url = await process.url()
    terminal = await top(url)
    first = await terminal.shows(lambda frame: value(frame, "in code"))
    assert first[0] == f"askd 0.1.0 · book · ready · {url}"
    assert value(first, "asked").startswith("–")

    asking = asyncio.create_task(ask(process))
    moved = await terminal.shows(lambda frame: "█" in value(frame, "asked") and "█" in value(frame, "p99"))
    asking.cancel()
    await asyncio.wait({asking})
    assert float(value(moved, "asked").split()[0].replace(",", "")) > 0
    assert value(moved, "p99").split()[0].endswith("s")
    await terminal.shows(lambda frame: value(frame, "asked").startswith("0 /s"))
    terminal.type("\x03")
    assert await terminal.ended() == 0
    last = await terminal.shows(lambda frame: "^C" in "".join(frame))
    assert not any("Traceback" in line for line in last)
    assert (terminal.widest <= 79, terminal.scrolled) == (True, 0)


async def test_a_server_goes_away_and_comes_back(start: Start, top: Top) -> None:
    """Meanwhile the panel says what is wrong; then its figures go on, from the new process's start."""
    process = await served(start)
    url = await process.url()
    for _ in range(3):
        await process.get("/ask?q=hello")
    terminal = await top(url)
    await terminal.shows(lambda frame: value(frame, "asked").startswith("0 /s"))
    await process.kill()
    await terminal.shows(lambda frame: "connect: nothing listens on port" in frame[0] and not any(frame[1:]))
    again = await served(start, str(URL(url).port))
    await again.get("/ask?q=hello")
    back = await terminal.shows(lambda frame: value(frame, "queue") and not value(frame, "asked").startswith("0 /s"))
    assert back[0] == f"askd 0.1.0 · book · ready · {url}"
    assert 0 < float(value(back, "asked").split()[0]) < 10


async def test_several_servers_are_a_row_each(start: Start, top: Top, refusing: int) -> None:
    """Rows stand below the heads of their columns; one that is not there says so, and the others go on."""
    processes = [await served(start), await served(start)]
    urls = [await process.url() for process in processes]
    silent = f"127.0.0.1:{refusing}"
    terminal = await top(*urls, silent)
    for row, busy in enumerate(processes, 1):
        asking = asyncio.create_task(ask(busy))
        frame = await terminal.shows(partial(alone, row))
        asking.cancel()
        await asyncio.wait({asking})
        assert frame[0].split()[:4] == ["server", "asked/s", "p50", "p99"]
        assert [line.split()[0] for line in frame[1:4]] == [*(URL(url).authority for url in urls), silent]
        assert frame[3].endswith(f"  connect: nothing listens on port {refusing} of 127.0.0.1")
        await terminal.shows(partial(idle, row))
    await processes[0].kill()
    frame = await terminal.shows(lambda frame: "nothing listens" in frame[1])
    assert frame[2].split()[0] == URL(urls[1]).authority
    terminal.type("\x03")
    assert await terminal.ended() == 0
    assert (terminal.widest <= 79, terminal.scrolled) == (True, 0)


async def test_a_server_that_hangs_holds_nobody_up(start: Start, top: Top) -> None:
    """Its row says that no answer comes, again and again, while the other's figures move; and it comes back."""
    processes = [await served(start), await served(start)]
    terminal = await top(*[await process.url() for process in processes])
    await terminal.shows(lambda frame: idle(1, frame) and idle(2, frame))
    processes[1].send(signal.SIGSTOP)
    try:
        await terminal.shows(lambda frame: frame[2].endswith("answer: none within 1 s"))
        asking = asyncio.create_task(ask(processes[0]))
        await terminal.shows(lambda frame: "ms" in frame[1] and frame[2].endswith("answer: none within 1 s"))
        asking.cancel()
        await asyncio.wait({asking})
    finally:
        processes[1].send(signal.SIGCONT)
    await terminal.shows(lambda frame: idle(1, frame) and idle(2, frame))


async def test_more_servers_than_rows_leave_the_heads_in_place(start: Start, top: Top) -> None:
    """What does not fit is a number in the last row, and nothing scrolls."""
    url = await (await served(start)).url()
    terminal = await top(*[url] * 12, rows=8)
    for _ in range(2):
        frame = await terminal.shows(lambda frame: "… 7 more" in frame[6])
        assert frame[0].startswith("server")
    assert terminal.scrolled == 0


async def test_in_a_pipe_it_writes_lines(start: Start) -> None:
    """Without a terminal the heads come once, then a line for each interval; Ctrl-C ends it with 0, silently."""
    url = await (await served(start)).url()
    command = (sys.executable, "-m", "service", "top", url, "--interval", "200ms")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    assert process.stdout
    async with asyncio.timeout(BOUND):
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (lines[0].split()[0], process.returncode, err) == ("server", 0, b"")
    assert [line.split()[0] for line in lines[1:]] == [URL(url).authority] * 2
