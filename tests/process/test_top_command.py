"""`askd top` on a terminal, with servers that stop and restart, and in a pipe."""

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

from askd import __version__
from tests.support.askd_process import TIMEOUT, AskdProcess, StartAskd
from tests.support.terminal import Terminal

pytestmark = pytest.mark.slow

Top = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[Top]:
    """`top(*urls, rows=…)` starts the command on a terminal of 80 columns, with a short interval."""
    async with AsyncExitStack() as stack:

        async def start_top(*urls: str, rows: int = 24) -> Terminal:
            terminal = await Terminal.start(tmp_path, "top", *urls, "--interval", "200ms", rows=rows)
            stack.push_async_callback(terminal.close)
            return terminal

        yield start_top


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Reserve a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def value(frame: list[str], label: str) -> str:
    """Return the text after a label of the panel, or an empty string without such a line."""
    return next((line.removeprefix(label).strip() for line in frame if line.startswith(label)), "")


def rate(frame: list[str]) -> float:
    """Return the current requests per second. The bars beside it also show earlier intervals."""
    return float(value(frame, "requests").split()[0].replace(",", ""))


async def start_server(start: StartAskd, port: str = "0") -> AskdProcess:
    """Start a server, and wait until it is ready."""
    process = await start("serve", ASKD_PORT=port)
    await process.wait_for_event("ready")
    return process


async def ask_forever(process: AskdProcess) -> None:
    """Send requests until cancelled."""
    while True:
        await process.get("/ask?q=hello")


def is_idle(row: int, frame: list[str]) -> bool:
    """Whether the server in this row had no recent requests."""
    return "–" in frame[row] and "ms" not in frame[row]


def is_only_active(row: int, frame: list[str]) -> bool:
    """Whether the server in this row had recent requests, and the other one had none."""
    return "ms" in frame[row] and is_idle(3 - row, frame)


async def test_one_server_is_shown_as_a_panel(start: StartAskd, top: Top) -> None:
    """The panel shows current figures within 80 columns without scrolling; Ctrl-C ends the command with 0."""
    process = await start_server(start)
    url = await process.url()
    terminal = await top(url)
    first = await terminal.wait_for_screen(lambda frame: value(frame, "in flight"))
    assert first[0] == f"askd {__version__} · book · ready · {url}"
    assert value(first, "requests").startswith("–")

    load = asyncio.create_task(ask_forever(process))
    active = await terminal.wait_for_screen(
        lambda frame: all("█" in value(frame, name) for name in ("requests", "p99")) and rate(frame) > 0
    )
    load.cancel()
    await asyncio.wait({load})
    assert value(active, "p99").split()[0].endswith("s")
    await terminal.wait_for_screen(lambda frame: value(frame, "requests").startswith("0 /s"))
    terminal.press_keys("\x03")
    assert await terminal.wait_for_exit() == 0
    last = await terminal.wait_for_screen(lambda frame: "^C" in "".join(frame))
    assert not any("Traceback" in line for line in last)
    assert (terminal.longest_line <= 79, terminal.scrolled_lines) == (True, 0)


@pytest.mark.slow
async def test_server_restarts(start: StartAskd, top: Top) -> None:
    """While the server is down, the panel shows the error; afterwards, it counts from the start of the new process."""
    process = await start_server(start)
    url = await process.url()
    for _ in range(3):
        await process.get("/ask?q=hello")
    terminal = await top(url)
    await terminal.wait_for_screen(lambda frame: value(frame, "requests").startswith("0 /s"))
    await process.kill()
    await terminal.wait_for_screen(lambda frame: "connect: nothing listens on port" in frame[0] and not any(frame[1:]))
    restarted = await start_server(start, str(URL(url).port))
    await restarted.get("/ask?q=hello")
    frame = await terminal.wait_for_screen(
        lambda frame: value(frame, "queue") and not value(frame, "requests").startswith("0 /s")
    )
    assert frame[0] == f"askd {__version__} · book · ready · {url}"
    assert 0 < float(value(frame, "requests").split()[0]) < 10


@pytest.mark.slow
async def test_several_servers_are_shown_as_rows(start: StartAskd, top: Top, closed_port: int) -> None:
    """Each server has a row below the column headings; a server that is down shows its error."""
    processes = [await start_server(start), await start_server(start)]
    urls = [await process.url() for process in processes]
    down = f"127.0.0.1:{closed_port}"
    terminal = await top(*urls, down)
    for row, process in enumerate(processes, 1):
        load = asyncio.create_task(ask_forever(process))
        frame = await terminal.wait_for_screen(partial(is_only_active, row))
        load.cancel()
        await asyncio.wait({load})
        assert frame[0].split()[:4] == ["server", "req/s", "p50", "p99"]
        assert [line.split()[0] for line in frame[1:4]] == [*(URL(url).authority for url in urls), down]
        assert frame[3].endswith(f"  connect: nothing listens on port {closed_port} of 127.0.0.1")
        await terminal.wait_for_screen(partial(is_idle, row))
    await processes[0].kill()
    frame = await terminal.wait_for_screen(lambda frame: "nothing listens" in frame[1])
    assert frame[2].split()[0] == URL(urls[1]).authority
    terminal.press_keys("\x03")
    assert await terminal.wait_for_exit() == 0
    assert (terminal.longest_line <= 79, terminal.scrolled_lines) == (True, 0)


@pytest.mark.slow
async def test_hanging_server_does_not_delay_the_others(start: StartAskd, top: Top) -> None:
    """The row of a hanging server shows the time-out while the other row is updated, and figures when it continues."""
    processes = [await start_server(start), await start_server(start)]
    terminal = await top(*[await process.url() for process in processes])
    await terminal.wait_for_screen(lambda frame: is_idle(1, frame) and is_idle(2, frame))
    processes[1].send_signal(signal.SIGSTOP)
    try:
        await terminal.wait_for_screen(lambda frame: "waiting: no " in frame[2])
        load = asyncio.create_task(ask_forever(processes[0]))
        await terminal.wait_for_screen(lambda frame: "ms" in frame[1] and "waiting: no " in frame[2])
        load.cancel()
        await asyncio.wait({load})
    finally:
        processes[1].send_signal(signal.SIGCONT)
    await terminal.wait_for_screen(lambda frame: is_idle(1, frame) and is_idle(2, frame))


async def test_more_servers_than_rows(start: StartAskd, top: Top) -> None:
    """The last row counts the servers that do not fit, and the screen does not scroll."""
    url = await (await start_server(start)).url()
    terminal = await top(*[url] * 12, rows=8)
    for _ in range(2):
        frame = await terminal.wait_for_screen(lambda frame: "… 7 more" in frame[6])
        assert frame[0].startswith("server")
    assert terminal.scrolled_lines == 0


async def test_pipe_gets_lines(start: StartAskd) -> None:
    """Without a terminal, the headings are written once, then one line per interval; SIGINT ends the command with 0."""
    url = await (await start_server(start)).url()
    command = (sys.executable, "-m", "askd", "top", url, "--interval", "200ms")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    assert process.stdout
    async with asyncio.timeout(TIMEOUT):
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()
    assert (lines[0].split()[0], process.returncode, stderr) == ("server", 0, b"")
    assert [line.split()[0] for line in lines[1:]] == [URL(url).authority] * 2
