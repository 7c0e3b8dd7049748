"""HTTP client for one upstream server: sends questions and turns every failure into a problem for askd's client.

A question is sent once, because a POST that reached the server may have been processed. Only if the connection is
refused, before any byte was sent, is it sent a second time: a host name can resolve to several servers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import aiohttp
import structlog
from yarl import URL

from askd import __version__
from askd.answerers.remote import errors
from askd.answerers.remote.authorization import ApiKeyFile, UpstreamAuthorization
from askd.answerers.remote.outcome_recorder import OutcomeRecorder
from askd.answerers.remote.response import EVENT_STREAM_MEDIA_TYPE, JSON_MEDIA_TYPE, UpstreamResponse
from askd.circuit_breaker import Attempt, CircuitBreaker, CircuitState
from askd.errors import LoopDetected, Problem
from askd.models import ClientSpan, Question, client_span_var

HOPS_HEADER: Final = "X-Askd-Hops"
"""Request header that counts how often a question was forwarded, to detect loops."""
MAX_HOPS: Final = 5
"""Maximum number of servers that forward a question: more than any intended chain of servers."""
DEFAULT_DEADLINE: Final = 60.0
"""Deadline in seconds of questions without one: for the whole answer, or from one event of a stream to the next."""
DEADLINE_GRACE: Final = 1.0
"""Seconds added to a question's deadline. The caller enforces the deadline itself; this is only a safety net."""
CONNECT_TIMEOUT: Final = 2.0
"""Maximum time in seconds to connect, including name resolution and TLS. A local server takes a few milliseconds."""
KEEPALIVE_TIMEOUT: Final = 3.0
"""Seconds after which idle connections are closed.

uvicorn closes idle connections after 5 s. A question that is sent at that moment is lost and must not be repeated, so
this client closes them first."""
TRACE_HEADERS: Final = ("traceparent", "tracestate")
"""Request headers that are forwarded if askd does not trace. Cookies are never forwarded."""

_log = structlog.get_logger("askd.upstream")


class UpstreamClient:
    """Client for one upstream server.

    Args:
        base: URL of the server without a trailing slash.
        key: File with the API key.
        authorization: The `Authorization` header; None sends none.
        deadline: Deadline in seconds of questions without one.
    """

    def __init__(
        self,
        base: str,
        key: ApiKeyFile,
        *,
        authorization: UpstreamAuthorization | None = None,
        deadline: float = DEFAULT_DEADLINE,
    ) -> None:
        self.base_url = base
        self.deadline = deadline
        self.circuit_breaker = CircuitBreaker(on_state_change=self._log_circuit_change)
        self.last_error = ""
        """Detail of the last request's failure; empty if it succeeded."""
        self._api_key_file = key
        self.authorization = authorization or UpstreamAuthorization()
        self._session: aiohttp.ClientSession | None = None
        self._key_watches: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Create the session; this does not connect yet. Raises LoadError if the API key cannot be read."""
        self._api_key_file.load()
        self.authorization.load()
        for file in (self._api_key_file, self.authorization.file):
            if file.key:
                self._key_watches.append(asyncio.create_task(file.file_watcher.run()))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),  # cookies would mix the sessions of different clients
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            headers={"User-Agent": f"askd/{__version__}"},
        )

    async def close(self) -> None:
        """Close all connections."""
        for watch in self._key_watches:
            watch.cancel()
            await asyncio.wait({watch})
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        question: Question | None = None,
        accept: str = JSON_MEDIA_TYPE,
        deadline_at: float,
        **body: Any,
    ) -> UpstreamResponse:
        """Send a request and return the response when its headers have arrived.

        Redirects are not followed, because the API key must not reach another server.

        Args:
            method: HTTP method.
            path: Path and query, appended to the base URL.
            question: The question that is sent. None for askd's own requests, such as discovery, which bypass the
                circuit breaker and are sent without a request ID.
            accept: Media type for the `Accept` header.
            deadline_at: Event-loop time, as returned by `deadline_after` or `deadline_for`.
            **body: `json=` or `data=`, as for aiohttp.

        Raises:
            Problem: No response arrived. If the circuit is open, this is raised at once.
            Unauthorized: The server rejected the client's own `Authorization` with 401; Refused with 403.
        """
        if self._session is None:
            raise errors.unreachable()
        headers = self._build_headers(question, accept) | {"Accept": accept}
        attempt = None if question is None else self._begin_attempt()
        client_span, trace_headers = _start_client_span(question, method, self.base_url + path)
        url = URL(self.base_url + path, encoded=True)
        send = partial(self._session.request, method, url, headers=headers | trace_headers, **body)
        recorder = OutcomeRecorder(
            attempt, question, counts_as_success=method != "GET", deadline=self.deadline, client_span=client_span
        )
        translate_errors = partial(self._translate_errors, recorder, quiet=question is None)
        with translate_errors():
            async with asyncio.timeout_at(deadline_at):
                response = await _send_with_retry(partial(send, allow_redirects=False))
        failed = recorder.record_status(response.status, response.content_type, response.headers)
        self.last_error = errors.problem_from_status(response.status, response.headers).detail if failed else ""
        upstream_response = UpstreamResponse(
            response,
            deadline_at=deadline_at,
            event_timeout=self._get_event_timeout(question) if accept == EVENT_STREAM_MEDIA_TYPE else None,
            translate_errors=translate_errors,
            outcome_recorder=recorder,
            log_failure=self.log_failure,
        )
        if question is not None and self.authorization.is_forwarded and response.status in {401, 403}:
            async with upstream_response:
                raise errors.denied(response.status, response.headers)
        return upstream_response

    def deadline_after(self, seconds: float) -> float:
        """Return the event-loop time in `seconds` from now."""
        return asyncio.get_running_loop().time() + seconds

    def deadline_for(self, question: Question) -> float:
        """Return the event-loop time at which this client stops waiting for the answer."""
        return self.deadline_after(
            self.deadline if question.time_left is None else max(question.time_left, 0.0) + DEADLINE_GRACE
        )

    def log_failure(self, reason: str, **details: Any) -> None:
        """Log details that the client must not see, such as the address and the server's error message."""
        _log.warning("upstream_request_failed", url=self.base_url, reason=reason, **details)

    def _log_circuit_change(self, state: CircuitState, backoff: float) -> None:
        _log.warning("circuit_breaker_state_changed", url=self.base_url, state=state.value, retry_in_seconds=backoff)

    def _begin_attempt(self) -> Attempt:
        attempt = self.circuit_breaker.try_acquire()
        if attempt is None:
            raise errors.circuit_open(self.circuit_breaker.seconds_until_trial)
        return attempt

    def _get_event_timeout(self, question: Question | None) -> float:
        """Return the maximum number of seconds between two events of a stream."""
        time_left = None if question is None else question.time_left
        return self.deadline if time_left is None else max(time_left, self.deadline) + DEADLINE_GRACE

    @contextlib.contextmanager
    def _translate_errors(self, recorder: OutcomeRecorder, *, quiet: bool) -> Iterator[None]:
        """Turn exceptions of aiohttp into problems, and log their cause unless `quiet`."""
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            recorder.record_error(error)
            problem = _problem_from_exception(error)
            self.last_error = problem.detail
            if not quiet:
                self.log_failure(type(error).__name__, error=str(error))
            raise problem from error
        except BaseException:
            recorder.record_cancelled()
            raise

    def _build_headers(self, question: Question | None, accept: str) -> dict[str, str]:
        headers = {}
        if key := self._api_key_file.key:
            headers["x-api-key"] = key
        if authorization := self.authorization.get_header(question):
            headers["Authorization"] = authorization
        if accept == EVENT_STREAM_MEDIA_TYPE:
            headers["Accept-Encoding"] = "identity"  # servers that compress a stream delay its events
        if question is None:
            return headers
        headers[HOPS_HEADER] = increment_hops(question.headers)
        if question.id:
            headers["X-Request-Id"] = question.id
        # For a stream, the other server would take this as the maximum time between events.
        if accept != EVENT_STREAM_MEDIA_TYPE:
            time_left = self.deadline if question.time_left is None else question.time_left
            headers["X-Request-Timeout"] = f"{max(time_left, 0.001):.3f}"
        return headers


def increment_hops(headers: Mapping[str, str]) -> str:
    """Return the value of the hops header for the next server.

    Raises:
        LoopDetected: The question was forwarded too often, or the header is invalid.
    """
    text = headers.get(HOPS_HEADER, "0").strip()
    hops = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else MAX_HOPS
    if hops >= MAX_HOPS:
        raise LoopDetected(
            f"The question was forwarded {MAX_HOPS} times, so the servers forward to each other in a loop. "
            "Configure a different answerer for one of them."
        )
    return str(hops + 1)


def _start_client_span(question: Question | None, method: str, url: str) -> tuple[ClientSpan | None, dict[str, str]]:
    """Start the span of a request. Returns it, or None without tracing, and the trace headers to send."""
    if question is None:
        return None, {}
    start_span = client_span_var.get()
    if start_span is None:
        return None, {name: question.headers[name] for name in TRACE_HEADERS if name in question.headers}
    client_span = start_span(method, url)
    return client_span, dict(client_span.headers)


async def _send_with_retry(send: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> aiohttp.ClientResponse:
    try:
        return await send()
    except aiohttp.ClientConnectorError as error:
        if not isinstance(error.os_error, ConnectionRefusedError):
            raise
    return await send()


def _problem_from_exception(error: Exception) -> Problem:
    # Subclasses come first: ConnectionTimeoutError is a TimeoutError, ClientSSLError a ClientConnectorError.
    match error:
        case aiohttp.ConnectionTimeoutError():
            return errors.unreachable()
        case aiohttp.ClientSSLError():
            return errors.tls_failed()
        case aiohttp.ClientConnectorError():
            return errors.unreachable()
        case TimeoutError():
            return errors.timed_out()
        case _:
            return errors.connection_lost()
