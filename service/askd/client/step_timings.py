"""Start and end times of the steps of a request, from aiohttp's tracing hooks.

The hooks treat opening a connection as one step. The start of TLS is observed in the SSL context, which creates the
SSL object then, and the address in use by looking for the connected socket among those that were created.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class RequestTimings:
    """Times of one request in seconds of `perf_counter`; None if a step has not happened or was not needed."""

    def __init__(self) -> None:
        self.started_at = perf_counter()
        self.dns_span: tuple[float, float] | None = None
        self.dns_started_at: float | None = None
        self.connect_started_at: float | None = None
        self.tls_started_at: float | None = None
        self.connected_at: float | None = None
        self.request_sent_at: float | None = None
        self.headers_received_at: float | None = None
        self.finished_at: float | None = None
        self.addresses: list[str] = []
        """Addresses of the host, in the order of the DNS response."""
        self.peer_address = ""
        """Address and port of the connection."""
        self.ssl_object: ssl.SSLObject | None = None
        self.sent_bytes = 0
        self._sockets: list[socket.socket] = []

    @property
    def current_step(self) -> str:
        """The step that has started and not ended."""
        if self.headers_received_at is not None:
            return "answer"
        if self.request_sent_at is not None:
            return "waiting"
        if self.connected_at is not None:
            return "request"
        if self.tls_started_at is not None:
            return "TLS"
        return "name" if self.dns_started_at is not None and self.dns_span is None else "connect"

    def create_socket(self, info: Any) -> socket.socket:
        """Create a socket for an entry of getaddrinfo. It is kept until a connection is established."""
        candidate = socket.socket(info[0], info[1], info[2])
        self._sockets.append(candidate)
        return candidate

    def record_peer(self) -> None:
        """Record the address of the socket that is connected."""
        for candidate in self._sockets:
            try:
                host, port = candidate.getpeername()[:2]
            except OSError:  # not connected, or closed because another address was faster
                continue
            self.peer_address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._sockets.clear()

    def step_spans(self) -> dict[str, tuple[float, float]]:
        """Return start and end of each completed step, in seconds since the start of the request."""
        spans: dict[str, tuple[float | None, float | None]] = {
            "name": self.dns_span or (None, None),
            "connect": (self._tcp_started_at, self.tls_started_at or self.connected_at),
            "TLS": (self.tls_started_at, self.connected_at),
            "request": (self.connected_at or self.started_at, self.request_sent_at),
            "waiting": (self.request_sent_at, self.headers_received_at),
            "answer": (self.headers_received_at, self.finished_at),
        }
        return {
            step: (began - self.started_at, ended - self.started_at)
            for step, (began, ended) in spans.items()
            if began is not None and ended is not None
        }

    @property
    def _tcp_started_at(self) -> float | None:
        return self.dns_span[1] if self.dns_span and self.connect_started_at is not None else self.connect_started_at


def headers_size(headers: Iterable[tuple[str | bytes, str | bytes]]) -> int:
    """Return the bytes of ASCII headers on the wire, with the empty line after them."""
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers) + len("\r\n")


class InstrumentedSSLContext(ssl.SSLContext):
    """Client SSL context that calls `on_tls_start` when the event loop asks for an SSL object."""

    on_tls_start: Callable[[ssl.SSLObject], None]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Create the SSL object of a connection."""
        ssl_object = super().wrap_bio(*arguments, **options)
        self.on_tls_start(ssl_object)
        return ssl_object


class InstrumentedResolver(AbstractResolver):
    """aiohttp's default resolver, which passes the addresses of a host to `on_resolved`."""

    def __init__(self, on_resolved: Callable[[list[str]], None]) -> None:
        self._resolver = aiohttp.DefaultResolver()
        self._on_resolved = on_resolved

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host name."""
        results = await self._resolver.resolve(host, port, family)
        self._on_resolved(list(dict.fromkeys(result["host"] for result in results)))
        return results

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def create_trace_config(current: Callable[[], RequestTimings]) -> aiohttp.TraceConfig:
    """Return aiohttp's hooks that record times in the timings of the current request."""
    config = aiohttp.TraceConfig()

    async def on_dns_start(*_: Any) -> None:
        current().dns_started_at = perf_counter()

    async def on_dns_end(*_: Any) -> None:
        timings = current()
        timings.dns_span = (timings.dns_started_at or timings.started_at, perf_counter())

    async def on_connect_start(*_: Any) -> None:
        current().connect_started_at = perf_counter()

    async def on_connect_end(*_: Any) -> None:
        current().connected_at = perf_counter()
        current().record_peer()

    async def on_headers_sent(_session: Any, _context: Any, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        current().request_sent_at = perf_counter()
        request_line_size = len(params.method) + len(params.url.raw_path_qs) + len("  HTTP/1.1\r\n")
        current().sent_bytes += request_line_size + headers_size(params.headers.items())

    async def on_chunk_sent(_session: Any, _context: Any, params: aiohttp.TraceRequestChunkSentParams) -> None:
        current().request_sent_at = perf_counter()
        current().sent_bytes += len(params.chunk)

    async def on_headers_received(*_: Any) -> None:
        current().headers_received_at = perf_counter()

    config.on_dns_resolvehost_start.append(on_dns_start)
    config.on_dns_resolvehost_end.append(on_dns_end)
    config.on_connection_create_start.append(on_connect_start)
    config.on_connection_create_end.append(on_connect_end)
    config.on_request_headers_sent.append(on_headers_sent)
    config.on_request_chunk_sent.append(on_chunk_sent)
    config.on_request_end.append(on_headers_received)
    return config
