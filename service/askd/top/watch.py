"""Periodic scrapes of servers, and the screen that shows them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

from yarl import URL

from askd.client import errors
from askd.client.errors import RequestFailed
from askd.client.session import Session
from askd.client.target import ServerTarget
from askd.top.scrape import MetricsDelta, MetricsSnapshot, compute_delta, parse_snapshot
from askd.top.view import HISTORY_LENGTH, ServerStatus, fit_to_screen, render_panel, render_row, table_header

METRICS_PATH: Final = "/metrics"
SCRAPE_TIMEOUT: Final = 5.0
"""Seconds for a scrape."""
REFRESH_TIMEOUT: Final = 1.0
"""Seconds for which the display waits for slow servers before it is refreshed without them."""
CURSOR_HOME: Final = "\x1b[H"
CLEAR_SCREEN: Final = "\x1b[2J"
_CLEAR_TO_LINE_END: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"

Sleep = Callable[[float], Awaitable[None]]


class WatchedServer:
    """A server with its last status and the history of its rates. `clock` returns monotonic seconds."""

    def __init__(self, url: URL, ca_file: str | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        path = url.path.rstrip("/")
        self._url = url.with_path(path if path.endswith(METRICS_PATH) else path + METRICS_PATH)
        self.session = Session(ServerTarget(url, ca_file=ca_file, timeout=SCRAPE_TIMEOUT), keep_alive=True)
        self.status = ServerStatus(str(url).rstrip("/"))
        self.history: deque[MetricsDelta] = deque(maxlen=HISTORY_LENGTH)
        self._clock = clock
        self._last_snapshot: MetricsSnapshot | None = None
        self._scrape_task: asyncio.Task[None] | None = None

    async def scrape_within(self, seconds: float | None) -> None:
        """Start a scrape, or continue one that has not ended, and wait for it.

        If it does not end within `seconds`, the status is an error and the scrape continues in the background. None
        waits until it ends.
        """
        task = self._scrape_task = self._scrape_task or asyncio.create_task(self.scrape())
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            self._scrape_task = None
            task.result()
        else:
            self.status = ServerStatus(self.status.name, error=f"waiting: no response within {seconds:g} s")

    async def cancel_scrape(self) -> None:
        """Cancel the scrape in progress, if any."""
        if self._scrape_task is not None:
            self._scrape_task.cancel()
            await asyncio.wait({self._scrape_task})

    async def scrape(self) -> None:
        """Scrape once and update the status. After a failure, rates are relative to the last successful scrape."""
        name = self.status.name
        try:
            snapshot = await self._fetch_snapshot()
        except RequestFailed as error:
            self.status = ServerStatus(name, error=f"{error.step}: {error.error}")
            return
        delta = compute_delta(self._last_snapshot, snapshot) if self._last_snapshot else None
        self._last_snapshot = snapshot
        if delta:
            self.history.append(delta)
        self.status = ServerStatus(name, snapshot, delta)

    async def _fetch_snapshot(self) -> MetricsSnapshot:
        async with self.session.send("GET", self._url) as response:
            body = await self.session.read_body(response)
            if response.status != 200:
                raise errors.unexpected_response(response.status, f"status {response.status} at {self._url}")
            try:
                return parse_snapshot(body.decode(), self._clock())
            except ValueError as error:
                reason = str(error) if "askd" in str(error) else f"no metrics at {self._url}"
                raise errors.unexpected_response(200, reason) from None


async def scrape_periodically(
    servers: Sequence[WatchedServer],
    interval: float,
    sleep: Sleep = asyncio.sleep,
    *,
    scrape_timeout: float | None = None,
) -> AsyncGenerator[None, None]:
    """Scrape all servers concurrently, yield, wait for `interval` seconds, and repeat.

    Args:
        servers: The servers.
        interval: Seconds between two scrapes.
        sleep: Replaced in tests.
        scrape_timeout: Seconds for which a slow server delays the others; None waits for every scrape to end.
    """
    async with contextlib.AsyncExitStack() as sessions:
        for server in servers:
            await sessions.enter_async_context(server.session)
            sessions.push_async_callback(server.cancel_scrape)
        while True:
            await asyncio.gather(*(server.scrape_within(scrape_timeout) for server in servers))
            yield
            await sleep(interval)


def render_screen(servers: Sequence[WatchedServer], columns: int, rows: int) -> str:
    """Return the screen for a terminal of this size: the panel of one server, or a row for each of several."""
    lines = [*render_panel(servers[0].status, servers[0].history)] if len(servers) == 1 else render_table(servers)
    shown = fit_to_screen(lines, columns - 1, rows - 1)  # text in the last column or row would scroll the screen
    return CURSOR_HOME + "".join(f"{line}{_CLEAR_TO_LINE_END}\n" for line in shown) + _CLEAR_BELOW


def render_table(servers: Sequence[WatchedServer]) -> list[str]:
    """Return the header, and a row for each server."""
    return [table_header(), *(render_row(server.status) for server in servers)]
