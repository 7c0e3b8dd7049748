"""A keep-alive client that honours `Connection: close` and never retries a request."""

import asyncio
from collections import Counter
from typing import NamedTuple

from benchmarks.load import raw_http
from benchmarks.load.askd_process import read_response


class Failure(NamedTuple):
    """A request on an established connection without a complete response."""

    question: str
    first_request: bool
    """Whether it was the first request on its connection."""
    received: int
    """Number of received bytes of the response."""
    error: str


class NoRetryClient:
    """Repeats a request until connections are refused, and records every response and failure.

    A connection counts as established as soon as the kernel has accepted it. The client cannot know that it still waits
    in the listener's backlog, so a server must empty the backlog before it closes the listener.

    Args:
        port: Port of 127.0.0.1.
        question: Value of `q`.
        stream: Request an event stream.
        pause: Seconds between a response and the next request.
    """

    def __init__(self, port: int, question: str, *, stream: bool = False, pause: float = 0.02) -> None:
        self._port, self._question, self._stream, self._pause = port, question, stream, pause
        fields = ["Accept: text/event-stream"] if stream else []
        self._request = raw_http.get_request(f"/ask?q={question}", *fields)
        self.outcomes: Counter[str] = Counter()
        self.failures: list[Failure] = []

    async def run(self) -> None:
        """Send requests until a connection is refused."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return
            try:
                await self._use_connection(reader, writer)
            finally:
                writer.transport.abort()
            await asyncio.sleep(self._pause)

    async def _use_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send requests over one connection until the server closes it."""
        first_request = True
        while True:
            try:
                writer.write(self._request)
                response = await read_response(reader)
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(self._failure(error, first_request=first_request))
                return
            self.outcomes[response_outcome(response, stream=self._stream)] += 1
            if response.closes_connection:
                return
            first_request = False
            await asyncio.sleep(self._pause)

    def _failure(self, error: Exception, *, first_request: bool) -> Failure:
        received = len(error.args[0]) if isinstance(error, EOFError) else 0
        return Failure(self._question, first_request, received, type(error).__name__)


def response_outcome(response: raw_http.Response, *, stream: bool) -> str:
    """Return the status of a response, or the last event of a stream, which is `answer` or `error`."""
    if not stream or response.status != 200:
        return str(response.status)
    return next((name for name in ("answer", "error") if f"event: {name}\n".encode() in response.body), "no last event")
