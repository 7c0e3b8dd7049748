"""The load: raw connections that ask and never ask again, so that every failure shows.

A kept connection is used until a response says `Connection: close`, or until it ended while no request was on it, which
any client sees before it sends; a fresh one carries one request. From then on whatever is not a complete and right
response is a failure: a connection that is refused, one that ends, a status other than 200, an answer that does not
come. From RFC 9112.
"""

import asyncio
import contextlib
import dataclasses
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

MOST: Final = 500_000
"""Samples after which a load is taken to be a mistake of the test."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of question, and how often it is asked: each connection waits `pause` seconds after an answer."""

    name: str
    query: str = "q=hello"
    accept: str = "application/json"
    holds: bytes = b"hello"
    """Bytes that a right body has."""
    kept: int = 0
    fresh: int = 0
    pause: float = 0.1
    patience: float = 30.0
    """Seconds after which an answer is taken never to come."""


FAST: Final = Kind(name="fast", kept=10, fresh=5)
SLOW: Final = Kind(name="slow", query="q=hello&wait=4", kept=6, fresh=4)
STREAM: Final = Kind(
    name="stream",
    query="q=hello&wait=2&pieces=8",
    accept="text/event-stream",
    holds=b"event: answer\n",
    kept=3,
    fresh=2,
)
ALL: Final = (FAST, SLOW, STREAM)


class Sample(NamedTuple):
    """One request: when it was begun (`time.monotonic`), the seconds it took, who answered, and what was wrong."""

    at: float
    seconds: float
    kind: str
    fresh: bool
    server: str = ""
    fault: str = ""

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.at + self.seconds


class Reply(NamedTuple):
    """One complete response; names of `headers` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Connect. Raises OSError."""
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name))

    @property
    def over(self) -> bool:
        """Whether the server has ended it."""
        return self._reader.at_eof() or self._writer.is_closing()

    @property
    def certificate(self) -> str:
        """Serial number of the server's certificate."""
        found = self._writer.get_extra_info("peercert") or {}
        return str(found.get("serialNumber", ""))

    async def get(self, target: str, accept: str = "application/json", host: str = "localhost") -> Reply:
        """Ask, and return the response once it is complete. Raises OSError or EOFError where it never is."""
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode())
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = [line.partition(":") for line in lines[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        return Reply(int(lines[0].split()[1]), headers, await self._body(headers))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        """Close it, and wait for nothing."""
        with contextlib.suppress(Exception):
            self._writer.transport.abort()


class Load:
    """Connections that ask from `async with` to its end; what is under way then is finished and counted."""

    def __init__(
        self, address: tuple[str, int], kinds: Sequence[Kind] = ALL, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.samples: list[Sample] = []
        self.failures: list[Sample] = []
        self.replaced = 0
        """Kept connections that the server had ended while no request was on them."""
        self._address = address
        self._kinds = kinds
        self._tls = tls
        self._over = asyncio.Event()
        self._seen: Counter[str] = Counter()
        self._news = asyncio.Condition()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for kind in self._kinds:
            count = kind.kept + kind.fresh
            for number in range(count):
                worker = self._ask_on(kind, fresh=number >= kind.kept, first=kind.pause * number / count)
                self._workers.append(asyncio.create_task(worker))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await asyncio.gather(*self._workers)

    def since(self, at: float) -> list[Sample]:
        """Requests that began at this time or later."""
        return [each for each in self.samples if each.at >= at]

    async def more(self, count: int, *, kind: str = "") -> None:
        """Wait until so many more requests are over, of this kind or of any."""

        def seen() -> int:
            return self._seen[kind] if kind else len(self.samples)

        wanted = seen() + count
        async with asyncio.timeout(300), self._news:
            await self._news.wait_for(lambda: seen() >= wanted)

    async def quiet(self, seconds: float) -> None:
        """Wait until no request has failed for so many seconds."""

        def still() -> bool:
            last = self.failures[-1].ended if self.failures else began
            return time.monotonic() - max(last, began) >= seconds

        began = time.monotonic()
        async with asyncio.timeout(300), self._news:
            await self._news.wait_for(still)

    async def _ask_on(self, kind: Kind, *, fresh: bool, first: float) -> None:
        """Ask again and again; the connections begin one after the other, over one pause."""
        connection: Connection | None = None
        await self._pause(first)
        while not self._over.is_set():
            if connection and connection.over:
                connection.close()
                connection, self.replaced = None, self.replaced + 1
            connection = await self._once(kind, connection, fresh=fresh)
            await self._pause(kind.pause)
        if connection:
            connection.close()

    async def _once(self, kind: Kind, connection: Connection | None, *, fresh: bool) -> Connection | None:
        """Ask once; returns the connection where it can be used again."""
        at, server, fault, keep = time.monotonic(), "", "", False
        try:
            async with asyncio.timeout(kind.patience):
                connection = connection or await Connection.open(*self._address, self._tls)
                reply = await connection.get(f"/ask?{kind.query}", kind.accept)
            server = reply.headers.get("x-served-by", "")
            keep = not fresh and reply.headers.get("connection", "").lower() != "close"
            if reply.status != 200 or kind.holds not in reply.body:
                fault = f"{reply.status} {reply.body[:120]!r}"
        except (OSError, EOFError, ValueError) as error:
            fault = f"{type(error).__name__} {error}"[:160].strip()
        if connection and (fault or not keep):
            connection.close()
        await self._tell(Sample(at, time.monotonic() - at, kind.name, fresh, server, fault))
        return connection if keep and not fault else None

    async def _tell(self, sample: Sample) -> None:
        assert len(self.samples) < MOST
        async with self._news:
            self.samples.append(sample)
            self._seen[sample.kind] += 1
            if sample.fault:
                self.failures.append(sample)
            self._news.notify_all()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


async def one_each(address: tuple[str, int], servers: Sequence[str]) -> dict[str, Connection]:
    """Return a connection to each of these replicas, found by connecting until every one has answered."""
    found: dict[str, Connection] = {}
    async with asyncio.timeout(60):
        while set(servers) - found.keys():
            connection = await Connection.open(*address)
            server = (await connection.get("/")).headers["x-served-by"]
            if server in servers and server not in found:
                found[server] = connection
            else:
                connection.close()
    return found


def quantile(samples: Sequence[Sample], share: float) -> float:
    """Seconds within which this share of the requests was over."""
    ordered = sorted(each.seconds for each in samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def told(samples: Sequence[Sample]) -> str:
    """Say how many requests there were of each kind, and what failed of them, and how new the replica was."""
    kinds = Counter(each.kind for each in samples)
    failures = [each for each in samples if each.fault]
    text = f"{len(failures)} of {len(samples)} failed ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
    if failures:
        what = Counter(f"{each.kind} {'fresh' if each.fresh else 'kept'} {each.fault}" for each in failures)
        text += "; " + "; ".join(f"{n} × {how}" for how, n in what.most_common(5))
        text += (
            "; replicas first seen " + ", ".join(f"{_age(samples, each):.1f}" for each in failures[:5]) + " s before"
        )
    return text


def _age(samples: Sequence[Sample], of: Sample) -> float:
    """Return for how many seconds the replica of a request had answered others; NaN: it is unknown."""
    seen = [each.ended for each in samples if each.server == of.server]
    return of.ended - min(seen) if of.server else float("nan")
