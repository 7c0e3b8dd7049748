"""Send requests for a while and report the results, over keep-alive and new connections, without retries.

    python load.py http://localhost:2024 --seconds 30 --keepalive 8 --new 2 --path '/ask?q=hello'

A keep-alive connection is used until a response has `Connection: close`, a new connection for one request. Everything
else is counted as a failure, including a connection that closes during a request. The script needs only Python.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any
from urllib.parse import urlsplit

REQUEST_TIMEOUT = 70.0
"""Seconds for one request, connecting included: more than the default deadline of code, so that its 504 is seen."""
MAX_BODIES = 10
"""Distinct response bodies that are stored for each kind of request."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestKind:
    """One kind of request, and the number of connections that send it."""

    name: str = "ask"
    path: str = "/ask?q=hello"
    accept: str = "application/json"
    expected_text: str = "answer"
    """Text that the body must contain."""
    keepalive_connections: int = 8
    new_connections: int = 2
    """Number of workers that open a new connection for each request."""
    body: str = ""
    """Body of a POST request with JSON; empty sends GET."""
    headers: tuple[str, ...] = ()
    """Further header lines."""
    pause: float = 0.1
    """Seconds between a response and the next request of the same worker."""


@dataclasses.dataclass
class Results:
    """Results of one kind of request."""

    succeeded: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    latencies: list[float] = dataclasses.field(default_factory=list)
    """Seconds of each successful request."""
    servers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Successful requests by the server's `X-Served-By`."""
    bodies: set[bytes] = dataclasses.field(default_factory=set)

    @property
    def requests(self) -> int:
        """Number of finished requests."""
        return self.succeeded + len(self.failures)

    def report(self) -> dict[str, Any]:
        """Return the results for JSON: counts, the ten most common failures, and latencies in milliseconds."""
        return {
            "requests": self.requests,
            "failed": len(self.failures),
            "failures": dict(collections.Counter(self.failures).most_common(10)),
            "p50_ms": self._percentile_ms(0.5),
            "p99_ms": self._percentile_ms(0.99),
            "servers": dict(self.servers),
        }

    def _percentile_ms(self, share: float) -> float | None:
        ordered = sorted(self.latencies)
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 1) if ordered else None


class UnexpectedResponse(Exception):
    """A response with another status or body than expected."""


class Connection:
    """A client connection that sends one request at a time (RFC 9112)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def send_request(self, host: str, kind: RequestKind) -> tuple[int, dict[str, str], bytes]:
        """Send one request and return status, headers (with lowercase names) and body of the response."""
        method = "POST" if kind.body else "GET"
        lines = [f"{method} {kind.path} HTTP/1.1", f"Host: {host}", f"Accept: {kind.accept}", *kind.headers]
        if kind.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(kind.body.encode())}"]
        head = "\r\n".join(lines) + "\r\n\r\n" + kind.body
        self._writer.write(head.encode())
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        return int(lines[0].split()[1]), headers, await self._read_body(headers)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return body

    def close(self) -> None:
        """Close the connection without waiting."""
        with contextlib.suppress(Exception):
            self._writer.close()


class LoadGenerator:
    """Sends requests over all connections until it is stopped. `results` by kind can be read at any time."""

    def __init__(self, url: str, kinds: list[RequestKind]) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "localhost", address.port or 80
        self._host_header = address.netloc
        self._kinds = kinds
        self._stopped = asyncio.Event()
        self.results = {kind.name: Results() for kind in kinds}

    async def wait_until_reachable(self, seconds: float = 30.0) -> None:
        """Wait until the server accepts connections.

        A Service becomes reachable on a node a second or two after its pods are ready.

        Raises:
            TimeoutError: The server did not accept a connection within `seconds`.
        """
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(OSError):
                    (await Connection.open(self._host, self._port)).close()
                    return
                await self._pause(0.1)

    async def run(self, seconds: float = 3600.0) -> None:
        """Send requests for `seconds` or until `stop()`. Requests in flight are finished and counted."""
        workers = [asyncio.create_task(worker) for worker in self._workers()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        self.stop()
        await asyncio.gather(*workers)

    def stop(self) -> None:
        """Send no more requests."""
        self._stopped.set()

    def report(self) -> dict[str, Any]:
        """Return the results by kind, for JSON."""
        return {name: results.report() for name, results in self.results.items()}

    @property
    def failed(self) -> int:
        """Number of failed requests so far."""
        return sum(len(results.failures) for results in self.results.values())

    def _workers(self) -> Iterator[Coroutine[Any, Any, None]]:
        for kind in self._kinds:
            count = kind.keepalive_connections + kind.new_connections
            for number in range(count):
                # Starts are spread over one pause, so that the requests do not come in bursts.
                yield self._run_worker(
                    kind, keepalive=number < kind.keepalive_connections, delay=kind.pause * number / count
                )

    async def _run_worker(self, kind: RequestKind, *, keepalive: bool, delay: float) -> None:
        connection = None
        await self._pause(delay)
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    connection = connection or await Connection.open(self._host, self._port)
                    must_close = await self._send_request(connection, kind)
            except (
                OSError,
                EOFError,
                TimeoutError,
                ValueError,
                UnexpectedResponse,
                asyncio.LimitOverrunError,
            ) as error:
                prefix = "keep-alive" if keepalive else "new"
                self.results[kind.name].failures.append(f"{prefix}: {type(error).__name__} {error}"[:160])
                must_close = True
            if connection and (must_close or not keepalive):
                connection.close()
                connection = None
            await self._pause(kind.pause)
        if connection:
            connection.close()

    async def _send_request(self, connection: Connection, kind: RequestKind) -> bool:
        """Send one request and count it. Returns whether the server closes the connection after it."""
        results, started_at = self.results[kind.name], time.monotonic()
        status, headers, body = await connection.send_request(self._host_header, kind)
        if status != 200 or kind.expected_text.encode() not in body:
            raise UnexpectedResponse(f"{status} {body[:80]!r}")
        results.succeeded += 1
        results.latencies.append(time.monotonic() - started_at)
        results.servers[headers.get("x-served-by", "?")] += 1
        if len(results.bodies) < MAX_BODIES:
            results.bodies.add(body)
        return headers.get("connection", "").lower() == "close"

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)


def main() -> int:
    """Send requests and print the results as JSON. Returns 1 if a request failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="URL of the server, such as http://localhost:2024")
    parser.add_argument("--path", default=RequestKind.path, help="path and query of the requests (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="duration in seconds (%(default)g)")
    parser.add_argument(
        "--keepalive",
        type=int,
        default=RequestKind.keepalive_connections,
        help="number of keep-alive connections (%(default)s)",
    )
    parser.add_argument(
        "--new",
        type=int,
        default=RequestKind.new_connections,
        help="number of workers that open a new connection for each request (%(default)s)",
    )
    parser.add_argument(
        "--pause", type=float, default=RequestKind.pause, help="seconds between two requests of a worker (%(default)s)"
    )
    options = parser.parse_args()

    async def run() -> LoadGenerator:
        kind = RequestKind(
            path=options.path,
            keepalive_connections=options.keepalive,
            new_connections=options.new,
            pause=options.pause,
        )
        generator = LoadGenerator(options.url, [kind])
        await generator.wait_until_reachable()
        await generator.run(options.seconds)
        return generator

    generator = asyncio.run(run())
    print(json.dumps(generator.report()["ask"], indent=2))
    return 1 if generator.failed else 0


if __name__ == "__main__":
    sys.exit(main())
