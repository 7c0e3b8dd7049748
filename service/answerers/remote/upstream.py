"""The HTTP client: one session for all questions to one server, and every fault as a problem for our own client.

A question is sent once. aiohttp sends nothing but idempotent methods a second time, and nobody here does: a POST that
reached the server may have been carried out.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import aiohttp
import structlog
from yarl import URL

from service import __version__
from service.answerers.remote import faults, hops
from service.answerers.remote.key import Key
from service.answerers.remote.reply import JSON, STREAM, Reply
from service.errors import Problem
from service.models import Question

DEADLINE: Final = 60.0
"""Seconds from the question to the last byte of the answer. The one place for it, until a setting takes over."""
CONNECT: Final = 2.0
"""Seconds for a connection: a server in reach takes a few milliseconds."""
IDLE: Final = 3.0
"""Seconds for which an idle connection is kept. uvicorn closes its own after 5: a question that is sent just then is
lost, and must not be sent again."""
CHAINED: Final = ("traceparent", "tracestate")
"""Headers of the question that are passed on. Authorization and cookies are the caller's business with us alone."""

_log = structlog.get_logger("askd.upstream")


class Upstream:
    """The server at `base`, a URL without a slash at the end. `deadline` is in seconds."""

    def __init__(self, base: str, key: Key, *, deadline: float = DEADLINE) -> None:
        self.base = base
        self.deadline = deadline
        self.trouble = ""
        """What became of the last question that did not get through; empty when the last one did."""
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the session; nothing is connected yet. Raises LoadError where the key cannot be read."""
        self._key.load()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE),
            cookie_jar=aiohttp.DummyCookieJar(),  # a cookie would take one client's session into another's question
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            headers={"User-Agent": f"askd/{__version__}"},
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        question: Question | None = None,
        accept: str = JSON,
        until: float,
        **body: Any,
    ) -> Reply:
        """Send a request, and return the response once it begins. Raises Problem.

        `question` None: one of askd's own, without an id. `until` is what `until()` returned. `body` is `json=` or
        `data=` as aiohttp has them. A redirect is not followed: the key is for this server alone.
        """
        if self._session is None:
            raise faults.unreachable()
        headers = self._headers(question) | {"Accept": accept}
        if accept == STREAM:
            headers["Accept-Encoding"] = "identity"  # who compresses a stream holds its events back
        url = URL(self.base + path, encoded=True)
        translated = partial(self.translated, quiet=question is None)
        with translated():
            async with asyncio.timeout_at(until):
                response = await self._session.request(method, url, headers=headers, allow_redirects=False, **body)
        self.trouble = ""
        return Reply(response, until=until, translated=translated, note=self.note)

    def until(self, seconds: float | None = None) -> float:
        """Return the loop's time at which so many seconds are over; None: those of the deadline."""
        return asyncio.get_running_loop().time() + (self.deadline if seconds is None else seconds)

    def note(self, event: str, **facts: Any) -> None:
        """Log what our client is not told: the address, and the server's own words."""
        _log.warning("upstream failed", url=self.base, cause=event, **facts)

    @contextlib.contextmanager
    def translated(self, *, quiet: bool) -> Iterator[None]:
        """Turn what the client library raises into a Problem; note the cause, but for a look, which is `quiet`."""
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            problem = _problem(error)
            self.trouble = problem.detail
            if not quiet:
                self.note(type(error).__name__, error=str(error))
            raise problem from error

    def _headers(self, question: Question | None) -> dict[str, str]:
        headers = {}
        if key := self._key.current():
            headers["x-api-key"] = key
        if question is None:
            return headers
        headers[hops.HEADER] = hops.next_hop(question.headers)
        if question.id:
            headers["X-Request-Id"] = question.id
        return headers | {name: question.headers[name] for name in CHAINED if name in question.headers}


def _problem(error: Exception) -> Problem:
    """Most special first: a connection that times out is a connection that fails, and a faulty certificate is too."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return faults.unreachable()
        case aiohttp.ClientSSLError():
            return faults.untrusted()
        case aiohttp.ClientConnectorError():
            return faults.unreachable()
        case TimeoutError():
            return faults.late()
        case _:
            return faults.broken()
