"""Ask for a while, and report: kept and fresh connections, no retries, so that every failure shows.

    python load.py http://localhost:2024 --seconds 30 --kept 8 --fresh 2 --path '/ask?q=hello'

A kept connection is used until a response says `Connection: close`; a fresh one for one request. Whatever goes wrong
from then on, also a connection that is closed while a request is under way, is a failure. It needs nothing but Python.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

LIMIT = 70.0
"""Seconds after which an answer is taken never to come."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of request: where it goes, how often each connection sends it (pause in seconds), what it accepts."""

    name: str = "ask"
    path: str = "/ask?q=hello"
    accept: str = "application/json"
    holds: str = "answer"
    """Text that a good body has."""
    kept: int = 8
    fresh: int = 2
    pause: float = 0.1


@dataclasses.dataclass
class Tally:
    """What was seen of one kind."""

    good: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    servers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    bodies: set[bytes] = dataclasses.field(default_factory=set)

    def report(self) -> dict[str, Any]:
        """Return figures: counts, failures by what they were, latencies in milliseconds, answers per server."""
        told = collections.Counter(self.failures)
        return {
            "requests": self.good + len(self.failures),
            "failed": len(self.failures),
            "failures": dict(told.most_common(10)),
            "p50_ms": self._quantile(0.5),
            "p99_ms": self._quantile(0.99),
            "servers": dict(self.servers),
        }

    def _quantile(self, share: float) -> float | None:
        ordered = sorted(self.seconds)
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 1) if ordered else None


class Faulty(Exception):
    """A response that is not what was asked for."""


class Connection:
    """One connection, and what is read from it; from RFC 9112."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def exchange(self, host: str, kind: Kind) -> tuple[int, dict[str, str], bytes]:
        """Send one request and return status, headers (names in lower case) and body."""
        head = f"GET {kind.path} HTTP/1.1\r\nHost: {host}\r\nAccept: {kind.accept}\r\n\r\n"
        self._writer.write(head.encode())
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines[1:] if line)}
        return int(lines[0].split()[1]), headers, await self._body(headers)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return body

    def close(self) -> None:
        """Close, and wait for nothing."""
        with contextlib.suppress(Exception):
            self._writer.close()


class Load:
    """So many connections that ask until they are told to stop; `tallies` by kind can be read at any time."""

    def __init__(self, url: str, kinds: list[Kind]) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "localhost", address.port or 80
        self._name = address.netloc
        self._kinds = kinds
        self.tallies = {kind.name: Tally() for kind in kinds}
        self._over = asyncio.Event()

    async def reach(self, seconds: float = 30.0) -> None:
        """Return when something listens: a Service reaches a node a second or two after its pods are ready.

        Raises TimeoutError after so many seconds.
        """
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(OSError):
                    (await Connection.open(self._host, self._port)).close()
                    return
                await self._pause(0.1)

    async def run(self, seconds: float = 3600.0) -> None:
        """Ask for so long, or until `stop`; what is under way then is finished and counted."""
        workers = [asyncio.create_task(worker) for worker in self._workers()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        self.stop()
        await asyncio.gather(*workers)

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def report(self) -> dict[str, Any]:
        """Return the figures of every kind."""
        return {name: tally.report() for name, tally in self.tallies.items()}

    @property
    def failed(self) -> int:
        """Return how many requests failed until now."""
        return sum(len(tally.failures) for tally in self.tallies.values())

    def _workers(self) -> Iterator[Any]:
        for kind in self._kinds:
            for number in range(kind.kept + kind.fresh):
                yield self._ask_on(kind, keep=number < kind.kept, first=kind.pause * number / (kind.kept + kind.fresh))

    async def _ask_on(self, kind: Kind, *, keep: bool, first: float) -> None:
        """Ask again and again; the connections begin one after the other, over one pause."""
        connection = None
        await self._pause(first)
        while not self._over.is_set():
            try:
                async with asyncio.timeout(LIMIT):
                    connection = connection or await Connection.open(self._host, self._port)
                    closes = await self._ask(connection, kind)
            except (OSError, EOFError, TimeoutError, ValueError, Faulty, asyncio.LimitOverrunError) as fault:
                kept = "kept" if keep else "fresh"
                self.tallies[kind.name].failures.append(f"{kept}: {type(fault).__name__} {fault}"[:160])
                closes = True
            if connection and (closes or not keep):
                connection.close()
                connection = None
            await self._pause(kind.pause)
        if connection:
            connection.close()

    async def _ask(self, connection: Connection, kind: Kind) -> bool:
        """Ask once, and return whether the connection ends with it."""
        tally, started = self.tallies[kind.name], time.monotonic()
        status, headers, body = await connection.exchange(self._name, kind)
        if status != 200 or kind.holds.encode() not in body:
            raise Faulty(f"{status} {body[:80]!r}")
        tally.good += 1
        tally.seconds.append(time.monotonic() - started)
        tally.servers[headers.get("x-served-by", "?")] += 1
        if len(tally.bodies) < 10:
            tally.bodies.add(body)
        return headers.get("connection", "").lower() == "close"

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


def main() -> int:
    """Ask as the command line says, print figures as JSON, and return 1 where a request failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="address of the server, such as http://localhost:2024")
    parser.add_argument("--path", default=Kind.path, help="what is asked, with its query")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--kept", type=int, default=Kind.kept, help="connections that are kept")
    parser.add_argument("--fresh", type=int, default=Kind.fresh, help="workers that connect anew each time")
    parser.add_argument("--pause", type=float, default=Kind.pause, help="seconds between two requests of a worker")
    given = parser.parse_args()

    async def run() -> Load:
        kind = Kind(path=given.path, kept=given.kept, fresh=given.fresh, pause=given.pause)
        load = Load(given.url, [kind])
        await load.reach()
        await load.run(given.seconds)
        return load

    load = asyncio.run(run())
    print(json.dumps(load.report()["ask"], indent=2))
    return 1 if load.failed else 0


if __name__ == "__main__":
    sys.exit(main())
