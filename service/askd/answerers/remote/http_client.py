"""The HTTP client: one session for all questions to one server, and every fault as a problem for our own client.

A question is sent once: a POST that reached the server may have been carried out. Only where a connection is refused,
before a byte of the question was written, is another one tried: behind one name there may be several servers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import aiohttp
import structlog
from yarl import URL

from service import __version__
from service.answerers.remote import faults, hops
from service.answerers.remote.judge import Judge
from service.answerers.remote.key import Key
from service.answerers.remote.reply import JSON, STREAM, Reply
from service.errors import Problem
from service.guards.circuit import Attempt, Circuit, State
from service.models import LEAVING, Leg, Question

DEADLINE: Final = 60.0
"""Seconds from the question to the last byte of the answer, of a stream to its next event, where the question has no
deadline."""
GRACE: Final = 1.0
"""Seconds after a question's deadline. Who set it keeps it and says so to the client; this is for when nobody does."""
CONNECT: Final = 2.0
"""Seconds for a connection, its name and TLS included: a server in reach takes a few milliseconds."""
IDLE: Final = 3.0
"""Seconds for which an idle connection is kept. uvicorn closes its own after 5: a question that is sent just then is
lost, and must not be sent again."""
CHAINED: Final = ("traceparent", "tracestate")
"""Headers of the question that are passed on, where nothing is traced here. Authorization and cookies are the caller's
business with us alone."""

_log = structlog.get_logger("askd.upstream")


class Upstream:
    """The server at `base`, a URL without a slash at the end. `deadline` is in seconds."""

    def __init__(self, base: str, key: Key, *, deadline: float = DEADLINE) -> None:
        self.base = base
        self.deadline = deadline
        self.circuit = Circuit(turned=self._turned)
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
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT),
            headers={"User-Agent": f"askd/{__version__}"},
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(
        self, method: str, path: str, *, question: Question | None = None, accept: str = JSON, until: float, **body: Any
    ) -> Reply:
        """Send a request, and return the response once it begins. Raises Problem, at once where the circuit is open.

        `question` None: a look of askd's own, without an id, which goes past the circuit. `until` is what `until` or
        `due` returned. `body` is `json=` or `data=` as aiohttp has them. A redirect is not followed: the key is for
        this server alone.
        """
        if self._session is None:
            raise faults.unreachable()
        headers = self._headers(question, accept) | {"Accept": accept}
        attempt = None if question is None else self._enter()
        leg, chain = _chained(question, method, self.base + path)
        url = URL(self.base + path, encoded=True)
        send = partial(self._session.request, method, url, headers=headers | chain, **body)
        judge = Judge(attempt, question, work=method != "GET", deadline=self.deadline, leg=leg)
        translated = partial(self._translated, judge, quiet=question is None)
        with translated():
            async with asyncio.timeout_at(until):
                response = await _sent(partial(send, allow_redirects=False))
        failed = judge.begun(response.status, response.content_type, response.headers)
        self.trouble = faults.of_status(response.status, response.headers).detail if failed else ""
        between = self._seconds(question) if accept == STREAM else None
        return Reply(response, until=until, between=between, translated=translated, judge=judge, note=self.note)

    def until(self, seconds: float) -> float:
        """Return the loop's time at which so many seconds are over."""
        return asyncio.get_running_loop().time() + seconds

    def due(self, question: Question) -> float:
        """Return the loop's time at which the question is given up here."""
        return self.until(self.deadline if question.time_left is None else max(question.time_left, 0.0) + GRACE)

    def note(self, event: str, **facts: Any) -> None:
        """Log what our client is not told: the address, and the server's own words."""
        _log.warning("upstream failed", url=self.base, cause=event, **facts)

    def _turned(self, state: State, pause: float) -> None:
        _log.warning("upstream circuit", url=self.base, state=state.value, pause=pause)

    def _enter(self) -> Attempt:
        attempt = self.circuit.enter()
        if attempt is None:
            raise faults.resting(self.circuit.wait)
        return attempt

    def _seconds(self, question: Question | None) -> float:
        """Seconds from one event of a stream to the next."""
        left = None if question is None else question.time_left
        return self.deadline if left is None else max(left, self.deadline) + GRACE

    @contextlib.contextmanager
    def _translated(self, judge: Judge, *, quiet: bool) -> Iterator[None]:
        """Turn what the client library raises into a Problem; note the cause, but for a look, which is `quiet`."""
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            judge.failed(error)
            problem = _problem(error)
            self.trouble = problem.detail
            if not quiet:
                self.note(type(error).__name__, error=str(error))
            raise problem from error
        except BaseException:
            judge.left()
            raise

    def _headers(self, question: Question | None, accept: str) -> dict[str, str]:
        headers = {}
        if key := self._key.current():
            headers["x-api-key"] = key
        if accept == STREAM:
            headers["Accept-Encoding"] = "identity"  # who compresses a stream holds its events back
        if question is None:
            return headers
        headers[hops.HEADER] = hops.next_hop(question.headers)
        if question.id:
            headers["X-Request-Id"] = question.id
        if accept != STREAM:  # there it would bound the time between events, by what happens to be left now
            left = self.deadline if question.time_left is None else question.time_left
            headers["X-Request-Timeout"] = f"{max(left, 0.001):.3f}"
        return headers


def _chained(question: Question | None, method: str, url: str) -> tuple[Leg | None, dict[str, str]]:
    """Return the way to the other server as a trace shows it, if it does, and the headers that name the trace to it."""
    leave = LEAVING.get()
    if question is None:
        return None, {}
    if leave is None:
        return None, {name: question.headers[name] for name in CHAINED if name in question.headers}
    leg = leave(method, url)
    return leg, dict(leg.headers)


async def _sent(send: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> aiohttp.ClientResponse:
    try:
        return await send()
    except aiohttp.ClientConnectorError as error:
        if not isinstance(error.os_error, ConnectionRefusedError):
            raise
    return await send()


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
