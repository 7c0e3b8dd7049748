"""The ops endpoints, asked as a platform asks them, all the while that a scenario runs."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final

from . import wire
from .numbers import percentile
from .report import Section, ms
from .server import Askd, reply

ENDPOINTS: Final = ("/livez", "/readyz", "/metrics")
PERIOD: Final = 0.1
"""Seconds between two requests."""
PATIENCE: Final = 5.0
"""Seconds after which a platform gives a probe up."""
AIM: Final = 0.1
"""Seconds that an answer may take at the 99th percentile."""
LAST: Final = 0.5
"""Seconds before its end in which the process may close its ops port."""


class Watch:
    """Asks one endpoint after another on a keep-alive connection, and remembers how long each took."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def on(self, askd: Askd) -> AsyncIterator[None]:
        """Watch a server until the block ends, or the server does."""
        task = asyncio.create_task(self._watch(askd))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self, askd: Askd) -> None:
        while not askd.over:
            try:
                await self._ask(askd)
            except (OSError, EOFError, ValueError) as fault:  # TimeoutError is an OSError
                if askd.stopping and await askd.ended(LAST) is not None:
                    return
                self.failures.append(repr(fault))
            await asyncio.sleep(PERIOD)

    async def _ask(self, askd: Askd) -> None:
        """Ask in turn on one connection, until it ends."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", askd.ops_port), PATIENCE)
        try:
            while True:
                for endpoint in ENDPOINTS:
                    began = time.perf_counter()
                    writer.write(wire.get(endpoint))
                    found = await asyncio.wait_for(reply(reader), PATIENCE)
                    self.times[endpoint].append(time.perf_counter() - began)
                    await asyncio.sleep(PERIOD)
                    if found.closes:
                        return
        finally:
            writer.close()

    def section(self) -> Section:
        """What came of it, over all servers that were watched."""
        section = Section(
            title="Ops endpoints, during all scenarios", head=("endpoint", "answers", "p50", "p99", "max")
        )
        for endpoint, times in self.times.items():
            row = (endpoint, f"{len(times):,}", ms(percentile(times, 0.5)), ms(percentile(times, 0.99)), ms(max(times)))
            section.rows.append(row)
        every = [each for times in self.times.values() for each in times]
        late, share = percentile(every, 0.99), len(every) / max(len(every) + len(self.failures), 1)
        seen = f"{share:.2%} of {len(every) + len(self.failures):,} answered, p99 {ms(late)}"
        met = bool(every) and not self.failures and late < AIM
        section.judge("ops endpoints on their own port", f"100 % answered, p99 < {ms(AIM)}", seen, met=met)
        section.notes += sorted(set(self.failures))[:5]
        return section
