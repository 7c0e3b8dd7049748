"""When the steps of one exchange began and ended, as aiohttp's own tracing tells; nothing of it is guessed.

aiohttp tells of a connection as a whole. Where TLS begins in it is seen by the context, which is asked for its first
object then; which of several addresses was taken, by the sockets that were made.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

STEPS: Final = ("name", "connect", "TLS", "request", "waiting", "answer")


class Marks:
    """Times of one exchange (`perf_counter`, seconds); None: it has not come so far, or needed no such step."""

    def __init__(self) -> None:
        self.started = perf_counter()
        self.looked_up: tuple[float, float] | None = None
        self.looking_up: float | None = None
        self.connecting: float | None = None
        self.securing: float | None = None
        self.connected: float | None = None
        self.sent: float | None = None
        self.head: float | None = None
        self.ended: float | None = None
        self.addresses: list[str] = []
        """Of the name, in the order in which they were found."""
        self.peer = ""
        """The address that was taken."""
        self.secure: ssl.SSLObject | None = None
        self.sent_bytes = 0
        self._sockets: list[socket.socket] = []

    @property
    def step(self) -> str:
        """Where the exchange is: the step that has begun and not ended."""
        if self.head is not None:
            return "answer"
        if self.sent is not None:
            return "waiting"
        if self.connected is not None:
            return "request"
        if self.securing is not None:
            return "TLS"
        return "name" if self.looking_up is not None and self.looked_up is None else "connect"

    def made(self, info: Any) -> socket.socket:
        """Make a socket, and remember it until one of them is connected; `info` is one of getaddrinfo's rows."""
        made = socket.socket(info[0], info[1], info[2])
        self._sockets.append(made)
        return made

    def took(self) -> None:
        """Note which socket is the connected one."""
        for each in self._sockets:
            try:
                host, port = each.getpeername()[:2]
            except OSError:  # closed, for another was quicker, or not connected
                continue
            self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._sockets.clear()

    def spans(self) -> dict[str, tuple[float, float]]:
        """Return begin and end of each step that there was, in seconds since the start."""
        found: dict[str, tuple[float | None, float | None]] = {"name": self.looked_up or (None, None)}
        found["connect"] = self._dialled, self.securing or self.connected
        found["TLS"] = self.securing, self.connected
        found["request"] = self.connected or self.started, self.sent
        found["waiting"] = self.sent, self.head
        found["answer"] = self.head, self.ended
        return {
            step: (begin - self.started, end - self.started)
            for step, (begin, end) in found.items()
            if begin is not None and end is not None
        }

    @property
    def _dialled(self) -> float | None:
        return self.looked_up[1] if self.looked_up and self.connecting is not None else self.connecting


def header_bytes(headers: Iterable[tuple[str | bytes, str | bytes]]) -> int:
    """Return how long headers are as they are sent, the empty line after them included; names and values are ASCII."""
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers) + len("\r\n")


class Context(ssl.SSLContext):
    """A client's TLS that tells `began` when it begins: event loops ask a context for an object then."""

    began: Callable[[ssl.SSLObject], None]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection's TLS."""
        made = super().wrap_bio(*arguments, **options)
        self.began(made)
        return made


class Resolver(AbstractResolver):
    """Looks names up as aiohttp does, and tells what was found."""

    def __init__(self, found: Callable[[list[str]], None]) -> None:
        self._own = aiohttp.DefaultResolver()
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name."""
        rows = await self._own.resolve(host, port, family)
        self._found(list(dict.fromkeys(row["host"] for row in rows)))
        return rows

    async def close(self) -> None:
        """Release what the look-up holds."""
        await self._own.close()


def tracing(current: Callable[[], Marks]) -> aiohttp.TraceConfig:
    """Return the hooks that write into the marks of the exchange under way."""
    config = aiohttp.TraceConfig()

    async def looking(*_: Any) -> None:
        current().looking_up = perf_counter()

    async def looked(*_: Any) -> None:
        marks = current()
        marks.looked_up = (marks.looking_up or marks.started, perf_counter())

    async def connecting(*_: Any) -> None:
        current().connecting = perf_counter()

    async def connected(*_: Any) -> None:
        current().connected = perf_counter()
        current().took()

    async def sent(_session: Any, _context: Any, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        current().sent = perf_counter()
        line = len(params.method) + len(params.url.raw_path_qs) + len("  HTTP/1.1\r\n")
        current().sent_bytes += line + header_bytes(params.headers.items())

    async def chunk(_session: Any, _context: Any, params: aiohttp.TraceRequestChunkSentParams) -> None:
        current().sent = perf_counter()
        current().sent_bytes += len(params.chunk)

    async def answered(*_: Any) -> None:
        current().head = perf_counter()

    config.on_dns_resolvehost_start.append(looking)
    config.on_dns_resolvehost_end.append(looked)
    config.on_connection_create_start.append(connecting)
    config.on_connection_create_end.append(connected)
    config.on_request_headers_sent.append(sent)
    config.on_request_chunk_sent.append(chunk)
    config.on_request_end.append(answered)
    return config
