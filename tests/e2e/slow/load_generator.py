"""Load over keep-alive and new connections, without retries, so that every failure is counted.

A keep-alive connection is used until a response has `Connection: close`, or until the server closes it while it is
idle, which a client sees before it sends the next request. A new connection carries one request. Everything except a
complete response with the expected body is a failure: a refused or closed connection, another status, a time-out.
Connections follow RFC 9112.
"""

import asyncio
import contextlib
import dataclasses
import json
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

MAX_SAMPLES: Final = 500_000
"""Number of samples above which the test itself is assumed to be wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestKind:
    """One kind of request, and the number of connections that send it with a pause (in seconds) after each response."""

    name: str
    query: str = "q=hello"
    accept: str = "application/json"
    token: str = ""
    """Bearer token; empty sends none."""
    expected_bytes: bytes = b"hello"
    """Bytes that the body must contain."""
    keepalive_connections: int = 0
    new_connections: int = 0
    pause: float = 0.1
    timeout: float = 30.0
    """Seconds after which a request fails."""


FAST: Final = RequestKind(name="fast", keepalive_connections=10, new_connections=5)
SLOW: Final = RequestKind(name="slow", query="q=hello&wait=4", keepalive_connections=6, new_connections=4)
STREAM: Final = RequestKind(
    name="stream",
    query="q=hello&wait=2&pieces=8",
    accept="text/event-stream",
    expected_bytes=b"event: answer\n",
    keepalive_connections=3,
    new_connections=2,
)
ALL_KINDS: Final = (FAST, SLOW, STREAM)


class Sample(NamedTuple):
    """One request: start time (`time.monotonic`), duration in seconds, responding server, and error if any."""

    started_at: float
    seconds: float
    kind: str
    new_connection: bool
    server: str = ""
    error: str = ""

    @property
    def ended_at(self) -> float:
        """End time (`time.monotonic`)."""
        return self.started_at + self.seconds


class Response(NamedTuple):
    """A complete response. Names of `headers` are lowercase."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A client connection that sends one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Connect. Raises OSError if that fails."""
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name))

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self._reader.at_eof() or self._writer.is_closing()

    @property
    def certificate_serial(self) -> str:
        """Serial number of the server's certificate, empty without TLS."""
        certificate = self._writer.get_extra_info("peercert") or {}
        return str(certificate.get("serialNumber", ""))

    async def get(self, target: str, accept: str = "application/json", *, token: str = "") -> Response:
        """Send a request and return the response. Raises OSError or EOFError if the connection is lost."""
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{authorization}\r\n"
        self._writer.write(head.encode())
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = [line.partition(":") for line in lines[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        return Response(int(lines[0].split()[1]), headers, await self._body(headers))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection without waiting."""
        with contextlib.suppress(Exception):
            self._writer.transport.abort()


class LoadGenerator:
    """Sends requests during `async with`. Requests in flight at its end are finished and counted."""

    def __init__(
        self, address: tuple[str, int], kinds: Sequence[RequestKind] = ALL_KINDS, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.samples: list[Sample] = []
        self.failures: list[Sample] = []
        self.reconnects = 0
        """Number of keep-alive connections that the server closed while they were idle."""
        self._address = address
        self._kinds = kinds
        self._tls = tls
        self._stop = asyncio.Event()
        self._counts: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for kind in self._kinds:
            count = kind.keepalive_connections + kind.new_connections
            for number in range(count):
                worker = self._run_connection(
                    kind, use_once=number >= kind.keepalive_connections, delay=kind.pause * number / count
                )
                self._workers.append(asyncio.create_task(worker))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._workers)

    def samples_since(self, start: float) -> list[Sample]:
        """Return the requests that started at this time (`time.monotonic`) or later."""
        return [sample for sample in self.samples if sample.started_at >= start]

    async def wait_for_requests(self, count: int, *, kind: str = "") -> None:
        """Wait until `count` more requests have finished, of one kind or (empty) of any."""

        def finished() -> int:
            return self._counts[kind] if kind else len(self.samples)

        total = finished() + count
        async with asyncio.timeout(300), self._changed:
            await self._changed.wait_for(lambda: finished() >= total)

    async def wait_without_failures(self, seconds: float) -> None:
        """Wait until no request has failed for this time."""

        def is_stable() -> bool:
            last_failure = self.failures[-1].ended_at if self.failures else started_at
            return time.monotonic() - max(last_failure, started_at) >= seconds

        started_at = time.monotonic()
        async with asyncio.timeout(300), self._changed:
            await self._changed.wait_for(is_stable)

    async def _run_connection(self, kind: RequestKind, *, use_once: bool, delay: float) -> None:
        """Send requests until the load stops. Delays spread the starts of the connections over one pause."""
        connection: Connection | None = None
        await self._pause(delay)
        while not self._stop.is_set():
            if connection and connection.is_closed:
                connection.close()
                connection, self.reconnects = None, self.reconnects + 1
            connection = await self._send_request(kind, connection, use_once=use_once)
            await self._pause(kind.pause)
        if connection:
            connection.close()

    async def _send_request(
        self, kind: RequestKind, connection: Connection | None, *, use_once: bool
    ) -> Connection | None:
        """Send a request and record it. Returns the connection if it can be reused."""
        started_at, server, failure, reusable = time.monotonic(), "", "", False
        try:
            async with asyncio.timeout(kind.timeout):
                connection = connection or await Connection.open(*self._address, self._tls)
                response = await connection.get(f"/ask?{kind.query}", kind.accept, token=kind.token)
            server = response.headers.get("x-served-by", "")
            reusable = not use_once and response.headers.get("connection", "").lower() != "close"
            if response.status != 200 or kind.expected_bytes not in response.body:
                failure = f"{response.status} {response.body[:120]!r}"
        except (OSError, EOFError, ValueError) as error:
            failure = f"{type(error).__name__} {error}"[:160].strip()
        if connection and (failure or not reusable):
            connection.close()
        await self._record(Sample(started_at, time.monotonic() - started_at, kind.name, use_once, server, failure))
        return connection if reusable and not failure else None

    async def _record(self, sample: Sample) -> None:
        assert len(self.samples) < MAX_SAMPLES
        async with self._changed:
            self.samples.append(sample)
            self._counts[sample.kind] += 1
            if sample.error:
                self.failures.append(sample)
            self._changed.notify_all()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


class OpenLoopLoad:
    """Sends requests at a fixed rate, each on a new connection, independent of the responses."""

    def __init__(self, address: tuple[str, int], rate: float, *, query: str) -> None:
        self.outcomes: Counter[str] = Counter()
        """Number of requests by status, followed by the code of a problem, or by the type of an error."""
        self.sent = 0
        self._address = address
        self._rate = rate
        self._query = query
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Send no more requests."""
        self._stop.set()

    async def run(self, seconds: float = 600.0) -> float:
        """Send requests for this time or until `stop()`, and wait for the responses. Returns the actual rate."""
        started_at = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) < started_at + seconds and not self._stop.is_set():
                while self.sent < (now - started_at) * self._rate:
                    self.sent += 1
                    group.create_task(self._send_request())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 0.005)
            seconds = time.monotonic() - started_at
        return self.sent / seconds

    async def _send_request(self) -> None:
        connection = None
        try:
            connection = await Connection.open(*self._address)
            response = await connection.get(f"/ask?{self._query}")
            outcome = str(response.status)
            if response.headers.get("content-type") == "application/problem+json":
                outcome += f" {json.loads(response.body)['type'].rpartition('#')[2]}"
        except (OSError, EOFError) as error:
            outcome = type(error).__name__
        finally:
            if connection is not None:
                connection.close()
        self.outcomes[outcome] += 1


async def connect_to_each_replica(address: tuple[str, int], servers: Sequence[str]) -> dict[str, Connection]:
    """Return a connection to each of these replicas, by connecting until each one has responded."""
    connections: dict[str, Connection] = {}
    async with asyncio.timeout(60):
        while set(servers) - connections.keys():
            connection = await Connection.open(*address)
            server = (await connection.get("/")).headers["x-served-by"]
            if server in servers and server not in connections:
                connections[server] = connection
            else:
                connection.close()
    return connections


def quantile(samples: Sequence[Sample], share: float) -> float:
    """Return the quantile of the durations in seconds; 0 without samples."""
    ordered = sorted(sample.seconds for sample in samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def summarise(samples: Sequence[Sample]) -> str:
    """Describe the number of requests of each kind, the failures, and the age of the replicas that failed."""
    kinds = Counter(sample.kind for sample in samples)
    failures = [sample for sample in samples if sample.error]
    text = f"{len(failures)} of {len(samples)} failed ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
    if failures:
        counts = Counter(
            f"{sample.kind}, {'new' if sample.new_connection else 'keep-alive'} connection: {sample.error}"
            for sample in failures
        )
        text += "; " + "; ".join(f"{count} × {description}" for description, count in counts.most_common(5))
        ages = ", ".join(f"{_replica_age(samples, sample):.1f}" for sample in failures[:5])
        text += f"; seconds since the first response of the replica: {ages}"
    return text


def _replica_age(samples: Sequence[Sample], failure: Sample) -> float:
    """Return the seconds from the first response of the failed request's replica; NaN if the replica is unknown."""
    responses = [sample.ended_at for sample in samples if sample.server == failure.server]
    return failure.ended_at - min(responses) if failure.server else float("nan")
