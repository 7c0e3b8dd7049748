"""Clients that send questions to one askd at the same time, and the latencies that they see."""

import asyncio
import time
from collections import Counter
from typing import Final, NamedTuple

from tests.support.askd_process import TIMEOUT, AskdProcess

CLIENTS: Final = 8
"""Number of concurrent clients."""


class TimedResponse(NamedTuple):
    """Status and duration of a response."""

    status: int
    seconds: float


class ConcurrentClients:
    """Clients that send questions to one askd, and record the responses of each phase."""

    def __init__(self, askd: AskdProcess) -> None:
        self._askd = askd
        self._base: str | None = None
        self.responses: list[TimedResponse] = []
        self.phases: dict[str, list[TimedResponse]] = {}
        self._enough = asyncio.Event()
        self._wanted = 0

    async def run(self, phase: str, questions: int) -> set[int]:
        """Send this number of questions, and return the set of statuses."""
        self._base = await self._askd.url()
        numbers = iter(range(questions))
        self.responses = self.phases[phase] = []

        async def client() -> None:
            for number in numbers:
                await self.ask(f"{phase}{number}")

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return {response.status for response in self.responses}

    async def ask(self, text: str) -> TimedResponse:
        """Send one question."""
        started = time.perf_counter()
        response = await self._askd.get("/ask", params={"q": text}, base=self._base)
        self.responses.append(TimedResponse(response.status, time.perf_counter() - started))
        if len(self.responses) >= self._wanted:
            self._enough.set()
        assert response.status == 200 or response.headers["Content-Type"].startswith("application/problem+json")
        assert response.status != 503 or 1 <= int(response.headers["Retry-After"]) <= 10
        return self.responses[-1]

    async def wait_for_responses(self, count: int) -> None:
        """Wait until this phase has `count` responses."""
        self._wanted = count
        self._enough.clear()
        await asyncio.wait_for(self._enough.wait(), TIMEOUT)

    def latency_table(self) -> str:
        """Return a table of latencies by phase."""
        return "\n".join(self._table_row(phase, responses) for phase, responses in self.phases.items())

    @staticmethod
    def _table_row(phase: str, responses: list[TimedResponse]) -> str:
        milliseconds = sorted(1000 * response.seconds for response in responses)
        counts = Counter(response.status for response in responses)
        statuses = ", ".join(f"{count} × {status}" for status, count in sorted(counts.items()))
        p50, p99 = milliseconds[len(milliseconds) // 2], milliseconds[int(len(milliseconds) * 0.99)]
        return f"{phase:8} {statuses:24} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms"
