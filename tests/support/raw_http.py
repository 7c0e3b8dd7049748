"""The app behind its real connections, and a client that writes and reads bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, NamedTuple

from aiohttp import web

from service.app import CONNECTIONS, DOOR, LOADED, METRICS, OBSERVER, create_app, line_limit
from service.models import Answerer
from service.settings import Settings
from service.telemetry.tracing import Tracing
from service.web.connection import Connection
from service.web.doorway import Door
from service.web.runner import Runner, Server
from tests.fakes import Clock, Upper

HOST = b"Host: askd\r\n"
Wired = Callable[..., Awaitable["Wire"]]


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Write a request without a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: askd", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post(body: bytes, *headers: str, media: str = "application/json") -> bytes:
    """Write a question with a body; its length is told unless a header says how else it is framed."""
    framed = any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers)
    length = () if framed else (f"Content-Length: {len(body)}",)
    return get("/ask", f"Content-Type: {media}", *headers, *length, method="POST") + body


class Reply(NamedTuple):
    """One response, as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a status line and headers."""
        async with asyncio.timeout(5):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def reply(self, *, bodiless: bool = False) -> Reply:
        """Read one response, by its length; `bodiless` for the answer to HEAD."""
        status, headers = await self.head()
        length = 0 if bodiless else int(headers.get("content-length", 0))
        async with asyncio.timeout(5):
            return Reply(status, headers, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """Read what comes until the server closes the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def leave(self) -> None:
        """Close the connection."""
        self.writer.close()
        await self.writer.wait_closed()


class Wire:
    """A running server."""

    def __init__(self, app: web.Application, runner: Runner, began: float) -> None:
        self.app = app
        self.began = began
        """When it was started, by its connections' clock."""
        self.runner = runner
        self.port = runner.addresses[0][1]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Line]:
        """Connect; the connection ends with the block."""
        line = Line(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield line
        finally:
            line.writer.close()

    async def ask(self, data: bytes) -> Reply:
        """Send bytes on a connection of their own and read one response."""
        async with self.open() as line:
            line.send(data)
            return await line.reply()

    def sweep(self) -> None:
        """Look at all connections now, as the server does by itself every quarter of a second."""
        assert isinstance(self.runner.server, Server)
        self.runner.server.sweep()

    def lines(self) -> list[Connection]:
        """Return the server's ends of all connections, oldest first."""
        return [line for line in self.app[CONNECTIONS]._open if isinstance(line, Connection)]

    def closed(self) -> dict[str, int]:
        """Return how many connections have been closed, for each reason that there was."""
        return {reason: count for reason, count in self.app[CONNECTIONS].statistics().closed.items() if count}

    def counted(self, **labels: str) -> float:
        """Return how many exchanges with these labels have ended."""
        found = self.app[METRICS].registry.get_sample_value("askd_requests_total", labels)
        return found or 0.0


@asynccontextmanager
async def wiring() -> AsyncIterator[Wired]:
    """Give what starts servers; they are stopped at the end."""
    runners: list[Runner] = []

    async def start(
        answerer: Answerer | None = None,
        *,
        clock: Clock | None = None,
        door: Door | None = None,
        closed: bool = False,
        tracing: Tracing | None = None,
        **settings: str,
    ) -> Wire:
        app = create_app(Settings.load(settings, {}), answerer=answerer or Upper(), tracing=tracing)
        options: dict[str, Any] = dict(
            handler_cancellation=True, lingering_time=0.2, max_line_size=line_limit(app), summaries=[app[OBSERVER].shed]
        )
        if clock is not None:
            clock.now = monotonic()  # deadlines count on from when a request came
            app[CONNECTIONS].clock = clock
        runner = Runner(
            app,
            app[METRICS],
            app[CONNECTIONS],
            door=None if closed else door or app[DOOR],
            shutdown_timeout=0.1,
            **options,
        )
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await app[LOADED]
        return Wire(app, runner, clock.now if clock else monotonic())

    yield start
    for runner in runners:
        await runner.cleanup()
