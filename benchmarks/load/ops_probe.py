"""Probes of the ops endpoints during all scenarios, as a platform sends them."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final

from benchmarks.load import raw_http
from benchmarks.load.askd_process import AskdProcess, read_response
from benchmarks.load.report import Section, format_ms
from benchmarks.load.step_result import percentile

ENDPOINTS: Final = ("/livez", "/readyz", "/metrics")
PROBE_INTERVAL: Final = 0.1
"""Seconds between two requests."""
PROBE_TIMEOUT: Final = 5.0
"""Seconds after which a probe fails."""
P99_AIM: Final = 0.1
"""Maximum p99 of a probe in seconds."""
EXIT_GRACE: Final = 0.5
"""Seconds before its exit in which the process may close its ops port."""


class OpsProbe:
    """Sends probes over a keep-alive connection and records their durations."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def probing(self, askd: AskdProcess) -> AsyncIterator[None]:
        """Probe a server during the block, or until it exits."""
        task = asyncio.create_task(self._probe_until_exit(askd))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _probe_until_exit(self, askd: AskdProcess) -> None:
        while not askd.has_exited:
            try:
                await self._probe_connection(askd)
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                if askd.stopping and await askd.wait_for_exit(EXIT_GRACE) is not None:
                    return
                self.failures.append(repr(error))
            await asyncio.sleep(PROBE_INTERVAL)

    async def _probe_connection(self, askd: AskdProcess) -> None:
        """Probe all endpoints in turn over one connection, until it is closed."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", askd.ops_port), PROBE_TIMEOUT)
        try:
            while True:
                for endpoint in ENDPOINTS:
                    started_at = time.perf_counter()
                    writer.write(raw_http.get_request(endpoint))
                    response = await asyncio.wait_for(read_response(reader), PROBE_TIMEOUT)
                    self.times[endpoint].append(time.perf_counter() - started_at)
                    await asyncio.sleep(PROBE_INTERVAL)
                    if response.closes_connection:
                        return
        finally:
            writer.close()

    def section(self) -> Section:
        """Return the report of all probes."""
        section = Section(
            title="Ops endpoints during all scenarios", head=("endpoint", "responses", "p50", "p99", "max")
        )
        for endpoint, times in self.times.items():
            row = (
                endpoint,
                f"{len(times):,}",
                format_ms(percentile(times, 0.5)),
                format_ms(percentile(times, 0.99)),
                format_ms(max(times)),
            )
            section.rows.append(row)
        durations = [seconds for times in self.times.values() for seconds in times]
        total = len(durations) + len(self.failures)
        p99, share = percentile(durations, 0.99), len(durations) / max(total, 1)
        measured = f"{share:.2%} of {total:,} succeeded, p99 {format_ms(p99)}"
        met = bool(durations) and not self.failures and p99 < P99_AIM
        section.add_verdict(
            "ops endpoints on a separate port", f"100 % succeeded, p99 < {format_ms(P99_AIM)}", measured, met=met
        )
        section.notes += sorted(set(self.failures))[:5]
        return section
