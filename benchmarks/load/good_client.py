"""A client that asks at a constant rate, on a connection that it keeps and often replaces."""

import asyncio
import ssl
import time
from collections import Counter
from typing import Final

from benchmarks.load import raw_http
from benchmarks.load.askd_process import read_response

RATE: Final = 50.0
"""Requests per second."""
REQUESTS_PER_CONNECTION: Final = 5
CLIENT_TIMEOUT: Final = 5.0
"""Seconds after which the client gives up."""


class GoodClient:
    """Asks until it is cancelled.

    Args:
        port: Port of 127.0.0.1.
        context: TLS context, or None for HTTP.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.latencies: list[float] = []
        """Seconds of each 200, from the time at which the request was due."""
        self.failures: Counter[str] = Counter()
        """Other outcomes: the status, or the name of an exception."""
        self._port = port
        self._context = context
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Send requests."""
        due_at, number = time.monotonic(), 0
        while True:
            number += 1
            due_at += 1 / RATE
            await asyncio.sleep(due_at - time.monotonic())
            try:
                async with asyncio.timeout(CLIENT_TIMEOUT):
                    response = await self._ask(is_first=number % REQUESTS_PER_CONNECTION == 0)
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                self.failures[type(error).__name__] += 1
                self._close()
                due_at = max(due_at, time.monotonic())  # requests that were due meanwhile are not sent
                continue
            if response.status == 200:
                self.latencies.append(time.monotonic() - due_at)
            else:
                self.failures[str(response.status)] += 1
            if response.closes_connection:
                self._close()

    async def _ask(self, *, is_first: bool) -> raw_http.Response:
        if is_first:
            self._close()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        self._writer.write(raw_http.get_request("/ask?q=hello"))
        return await read_response(self._reader)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
