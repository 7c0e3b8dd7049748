"""One client of one server: connections that are measured, and every fault as a `Failed`."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from service import __version__
from service.client import faults
from service.client.failed import Failed
from service.client.marks import Context, Marks, Resolver, tracing
from service.client.target import LONGEST, Target, Wanted

CONNECT: Final = 5.0
"""Seconds for a connection, its name and TLS included: a server in reach takes a few milliseconds."""
LARGEST: Final = 64 << 20
"""Bytes of an answer that are read."""


class Session:
    """Asks one question after the other. `keep`: on one connection; else each has its own, so that any replica may."""

    def __init__(self, target: Target, *, keep: bool = False) -> None:
        self.target = target
        self.marks = Marks()
        """Of the exchange under way, or of the last."""
        self._keep = keep
        self._context = _context(target.ca_file)
        self._context.began = self._secured

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self._context,
            resolver=Resolver(self._resolved),
            use_dns_cache=False,
            force_close=not self._keep,
            socket_factory=self._made,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self.target.timeout, connect=min(CONNECT, self.target.timeout)),
            headers={"User-Agent": f"askd/{__version__}", "Accept-Encoding": "identity"},
            trace_configs=[tracing(lambda: self.marks)],
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    @contextlib.asynccontextmanager
    async def ask(self, wanted: Wanted) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the response to a question once it begins, whatever its status. Raises Failed where none comes."""
        async with self.send(**self._request(wanted)) as response:
            yield response

    @contextlib.asynccontextmanager
    async def send(self, method: str, url: URL, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the response to any request, in the same way."""
        self.marks = Marks()
        try:
            async with self._session.request(method, url, allow_redirects=False, **more) as response:
                yield response
        except Failed:
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise faults.unreached(error, self.target, self.marks) from error

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a response to its end. Raises Failed where it is larger than any answer."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST:
                raise faults.senseless(response.status, f"what came is larger than {LARGEST >> 20} MiB")
        self.marks.ended = perf_counter()
        return bytes(body)

    def _request(self, wanted: Wanted) -> dict[str, Any]:
        """Return what aiohttp is to send: the question in the address where it fits, else as a form."""
        pairs = [*wanted.parameters, ("q", wanted.question)]
        url = self.target.url / "ask"
        headers = {"Accept": wanted.accept}
        if self.target.token is not None:
            headers["Authorization"] = f"Bearer {self.target.token}"
        full = url.with_query(pairs)
        if len(str(full)) <= LONGEST:
            return dict(method="GET", url=full, headers=headers)
        return dict(method="POST", url=url, data=pairs, headers=headers)

    def _made(self, info: Any) -> socket.socket:
        return self.marks.made(info)

    def _resolved(self, addresses: list[str]) -> None:
        self.marks.addresses = addresses

    def _secured(self, secure: ssl.SSLObject) -> None:
        self.marks.securing, self.marks.secure = perf_counter(), secure


def _context(ca_file: str | None) -> Context:
    """Return a context that trusts what this machine trusts, or the file's certificates. Raises ValueError."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as fault:  # an SSLError is one
        why = "holds no certificate in PEM" if isinstance(fault, ssl.SSLError) else f"cannot be read ({fault.strerror})"
        raise ValueError(f"{ca_file} {why}: give the file of the CA that signed the server's certificate") from None
    return context
