"""HTTP client of one server: sends requests, records their timings, and turns errors into `RequestFailed`."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from askd import __version__
from askd.client import errors
from askd.client.errors import RequestFailed
from askd.client.step_timings import InstrumentedResolver, InstrumentedSSLContext, RequestTimings, create_trace_config
from askd.client.target import OutgoingRequest, ServerTarget

MAX_URL_LENGTH: Final = 4000
"""Characters of the longest URL that is sent; a longer question is sent as a form. Servers accept 8 KiB."""
CONNECT_TIMEOUT: Final = 5.0
"""Seconds for DNS, TCP and TLS together; a reachable server takes a few milliseconds."""
MAX_BODY_SIZE: Final = 64 << 20
"""Maximum bytes of a response body."""


class Session:
    """HTTP session with a server.

    Args:
        target: The server.
        keep_alive: Reuse one connection. By default, each request opens a new connection, so that every replica
            behind a Service gets requests.
    """

    def __init__(self, target: ServerTarget, *, keep_alive: bool = False) -> None:
        self.target = target
        self.timings = RequestTimings()
        """Timings of the current or the last request."""
        self._keep_alive = keep_alive
        self._ssl_context = _create_ssl_context(target.ca_file)
        self._ssl_context.on_tls_start = self._on_tls_start

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self._ssl_context,
            resolver=InstrumentedResolver(self._on_resolved),
            use_dns_cache=False,
            force_close=not self._keep_alive,
            socket_factory=self._create_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self.target.timeout, connect=min(CONNECT_TIMEOUT, self.target.timeout)),
            headers={"User-Agent": f"askd/{__version__}", "Accept-Encoding": "identity"},
            trace_configs=[create_trace_config(lambda: self.timings)],
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    @contextlib.asynccontextmanager
    async def ask(self, request: OutgoingRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a question and yield the response once its headers arrive. Raises RequestFailed without a response."""
        async with self.send(**self._build_request(request)) as response:
            yield response

    @contextlib.asynccontextmanager
    async def send(self, method: str, url: URL, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send any request, without following redirects; `options` are aiohttp's. Raises RequestFailed."""
        self.timings = RequestTimings()
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                yield response
        except RequestFailed:
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise errors.failure_from_exception(error, self.target, self.timings) from error

    async def read_body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the whole body. Raises RequestFailed if it is larger than `MAX_BODY_SIZE`."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_SIZE:
                raise errors.unexpected_response(
                    response.status, f"the response is larger than {MAX_BODY_SIZE >> 20} MiB"
                )
        self.timings.finished_at = perf_counter()
        return bytes(body)

    def _build_request(self, request: OutgoingRequest) -> dict[str, Any]:
        """Return arguments for `send`: the question in the URL if it fits, otherwise as a form."""
        pairs = [*request.parameters, ("q", request.question)]
        url = self.target.url / "ask"
        headers = {"Accept": request.accept}
        if self.target.token is not None:
            headers["Authorization"] = f"Bearer {self.target.token}"
        url_with_query = url.with_query(pairs)
        if len(str(url_with_query)) <= MAX_URL_LENGTH:
            return dict(method="GET", url=url_with_query, headers=headers)
        return dict(method="POST", url=url, data=pairs, headers=headers)

    def _create_socket(self, info: Any) -> socket.socket:
        return self.timings.create_socket(info)

    def _on_resolved(self, addresses: list[str]) -> None:
        self.timings.addresses = addresses

    def _on_tls_start(self, ssl_object: ssl.SSLObject) -> None:
        self.timings.tls_started_at, self.timings.ssl_object = perf_counter(), ssl_object


def _create_ssl_context(ca_file: str | None) -> InstrumentedSSLContext:
    context = InstrumentedSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # includes SSLError
        invalid = isinstance(error, ssl.SSLError)
        problem = "contains no PEM certificate" if invalid else f"cannot be read ({error.strerror})"
        raise ValueError(f"{ca_file} {problem}: use the file of the CA that signed the server's certificate") from None
    return context
