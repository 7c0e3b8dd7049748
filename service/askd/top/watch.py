"""Scrapes servers again and again, and shows what they say."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

from yarl import URL

from service.client import faults
from service.client.failed import Failed
from service.client.session import Session
from service.client.target import Target
from service.top.change import Change, change
from service.top.sample import Sample, sample
from service.top.view import HISTORY, Seen, fitted, head, panel, row

METRICS: Final = "/metrics"
LONGEST: Final = 5.0
"""Seconds for a scrape."""
PATIENCE: Final = 1.0
"""Seconds for which all rows wait for one."""
HOME: Final = "\x1b[H"
CLEAR: Final = "\x1b[2J"
_TO_END: Final = "\x1b[K"
_BELOW: Final = "\x1b[J"

Wait = Callable[[float], Awaitable[None]]


class Server:
    """One server, and what was seen of it. `clock` gives seconds that only rise."""

    def __init__(self, url: URL, ca_file: str | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        path = url.path.rstrip("/")
        self._url = url.with_path(path if path.endswith(METRICS) else path + METRICS)
        self.session = Session(Target(url, ca_file=ca_file, timeout=LONGEST), keep=True)
        self.seen = Seen(str(url).rstrip("/"))
        self.history: deque[Change] = deque(maxlen=HISTORY)
        self._clock = clock
        self._last: Sample | None = None
        self._looking: asyncio.Task[None] | None = None

    async def looked(self, seconds: float | None) -> None:
        """Look once, or go on with the last look. After so many seconds, what is seen is that none came yet."""
        looking = self._looking = self._looking or asyncio.create_task(self.look())
        await asyncio.wait({looking}, timeout=seconds)
        if looking.done():
            self._looking = None
            looking.result()
        else:
            self.seen = Seen(self.seen.name, fault=f"answer: none within {seconds:g} s")

    async def leave(self) -> None:
        """Give up a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def look(self) -> None:
        """Scrape once. What is wrong becomes what was seen, and the next look compares with the last that went well."""
        name = self.seen.name
        try:
            now = await self._scrape()
        except Failed as failed:
            self.seen = Seen(name, fault=f"{failed.step}: {failed.fault}")
            return
        since = change(self._last, now) if self._last else None
        self._last = now
        if since:
            self.history.append(since)
        self.seen = Seen(name, now, since)

    async def _scrape(self) -> Sample:
        async with self.session.send("GET", self._url) as response:
            body = await self.session.body(response)
            if response.status != 200:
                raise faults.senseless(response.status, f"status {response.status} at {self._url}")
            try:
                return sample(body.decode(), self._clock())
            except ValueError as fault:
                why = str(fault) if "askd" in str(fault) else f"no metrics at {self._url}"
                raise faults.senseless(200, why) from None


async def looks(
    servers: Sequence[Server], every: float, wait: Wait = asyncio.sleep, *, patience: float | None = None
) -> AsyncGenerator[None, None]:
    """Look at all servers at once, every so many seconds, and yield after each time.

    One that is slow holds the others up for `patience` seconds; None: for as long as a scrape may take.
    """
    async with contextlib.AsyncExitStack() as sessions:
        for server in servers:
            await sessions.enter_async_context(server.session)
            sessions.push_async_callback(server.leave)
        while True:
            await asyncio.gather(*(server.looked(patience) for server in servers))
            yield
            await wait(every)


def screen(servers: Sequence[Server], columns: int, rows: int) -> str:
    """Return what a terminal of this size shows: the panel of one server, or a row for each of several."""
    lines = [*panel(servers[0].seen, servers[0].history)] if len(servers) == 1 else table(servers)
    shown = fitted(lines, columns - 1, rows - 1)  # a full last line or column would move what stands above it
    return HOME + "".join(f"{line}{_TO_END}\n" for line in shown) + _BELOW


def table(servers: Sequence[Server]) -> list[str]:
    """Return the heads of the columns, and a row for each server."""
    return [head(), *(row(server.seen) for server in servers)]
