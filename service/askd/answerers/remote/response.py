"""Upstream responses: reads the body as JSON or as server-sent events, within the question's deadline.

`OutcomeRecorder` decides which outcomes count as failures for the circuit breaker: connection errors, time-outs and
statuses of 500 and above. Envoy's outlier detection calls connection errors and 502, 503 and 504 "gateway failures".

Deliberate responses of the application are not failures. An overloaded server (429, or 503 with `Retry-After`) still
answers some requests, which an open circuit would prevent. A question that fails (problem+json, or a failed LangGraph
run, which has status 200) must not count either: otherwise a client could block all others by repeating it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import msgspec

from askd.answerers.remote import errors
from askd.circuit_breaker import Attempt
from askd.models import ClientSpan, Question
from askd.sse_parser import EventTooLong, SSEParser

JSON_MEDIA_TYPE: Final = "application/json"
EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
MAX_RESPONSE_SIZE: Final = 16 << 20
"""Maximum size of a response in bytes, and of one event in characters."""

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
MIN_TIMEOUT_SHARE: Final = 0.5
"""Minimum share of the configured deadline after which a time-out counts as a failure.

Otherwise clients with short deadlines could open the circuit for all others."""
_DEADLINE_TOLERANCE: Final = 0.05
"""A cancellation at most this many seconds before the question's deadline counts as a time-out."""


class StreamEvent(NamedTuple):
    """One event of a stream, with its data decoded from JSON."""

    name: str
    data: Any


class OutcomeRecorder:
    """Records the outcome of one upstream request in the circuit breaker and in the trace.

    Args:
        attempt: Attempt of the circuit breaker; None if the request does not count, such as discovery.
        question: The question that is sent; None for discovery.
        counts_as_success: Whether a complete response counts as a success. False for requests that only read
            something, because they do not show that the server can answer questions.
        deadline: The configured deadline in seconds, not the shorter one of a client.
        client_span: Span of the request; None if the request is not traced.
    """

    def __init__(
        self,
        attempt: Attempt | None,
        question: Question | None,
        *,
        counts_as_success: bool,
        deadline: float,
        client_span: ClientSpan | None = None,
    ) -> None:
        self._client_span = client_span
        self._attempt = attempt
        self._question = question
        self._counts_as_success = counts_as_success
        self._timeouts_count_from = asyncio.get_running_loop().time() + MIN_TIMEOUT_SHARE * deadline
        self._event_count = 0

    def record_status(self, status: int, media_type: str, headers: Mapping[str, str]) -> bool:
        """Record the status of a response. Returns whether it counts as a failure of the server."""
        is_overloaded = status == 503 and "Retry-After" in headers
        failed = status >= 500 and media_type != PROBLEM_MEDIA_TYPE and not is_overloaded
        if self._attempt:
            (self._attempt.record_failure if failed else self._attempt.record_response_started)()
        if self._client_span:
            self._client_span.record_status(status)
        return failed

    def record_event(self) -> None:
        """Record an event of a stream. The first may only mean that a run is queued; the second is a success."""
        self._event_count += 1
        if self._event_count > 1:
            self.record_completion()

    def record_error(self, error: Exception) -> None:
        """Record an exception of aiohttp."""
        self.end_client_span(type(error).__name__)
        if not self._attempt:
            return
        if not isinstance(error, TimeoutError) or isinstance(error, aiohttp.ConnectionTimeoutError):
            self._attempt.record_failure()
        else:
            self._record_timeout(self._attempt)

    def record_completion(self) -> None:
        """Record that the response was read to its end, or as far as needed."""
        if self._attempt:
            (self._attempt.record_success if self._counts_as_success else self._attempt.record_cancellation)()

    def record_cancelled(self) -> None:
        """Record a cancellation, either by the client or because the request's deadline has passed."""
        self.end_client_span("cancelled")
        if not self._attempt:
            return
        time_left = self._question.time_left if self._question else None
        if time_left is not None and time_left < _DEADLINE_TOLERANCE:
            self._record_timeout(self._attempt)
        else:
            self._attempt.record_cancellation()

    def end_client_span(self, error: str = "") -> None:
        """End the client span; `error` is the error type, empty for a success."""
        if self._client_span:
            self._client_span.end(error)

    def _record_timeout(self, attempt: Attempt) -> None:
        if asyncio.get_running_loop().time() < self._timeouts_count_from:
            attempt.record_cancellation()
        else:
            attempt.record_failure(timed_out=True)


class UpstreamResponse:
    """A response whose headers have arrived. Use it as a context manager.

    If the context is left before the body is read, the connection is closed, so that the server can stop working.

    Args:
        response: The aiohttp response.
        deadline_at: Event-loop time at which reading times out.
        event_timeout: Maximum number of seconds between two events of a stream; each event moves `deadline_at`.
            None keeps `deadline_at` fixed.
        translate_errors: Context manager that turns aiohttp's exceptions into problems.
        outcome_recorder: Receives the outcome.
        log_failure: Logs details that the client must not see.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        deadline_at: float,
        event_timeout: float | None,
        translate_errors: Callable[[], AbstractContextManager[None]],
        outcome_recorder: OutcomeRecorder,
        log_failure: Callable[..., None],
    ) -> None:
        self._response = response
        self._deadline_at = deadline_at
        self._event_timeout = event_timeout
        self._translate_errors = translate_errors
        self._outcome_recorder = outcome_recorder
        self._log_failure = log_failure
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.media_type = response.content_type

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self._response.release()  # closes the connection unless the whole body was read
        if error_type is None or issubclass(error_type, Exception):
            self._outcome_recorder.record_completion()
            self._outcome_recorder.end_client_span(error_type.__name__ if error_type else "")
        else:
            self._outcome_recorder.record_cancelled()

    async def read_body(self) -> bytes:
        """Return the whole body. Raises Problem, also if the body exceeds MAX_RESPONSE_SIZE."""
        chunks, size = [], 0
        while chunk := await self._read_chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_RESPONSE_SIZE:
                self._log_failure("answer_too_large", size_bytes=size)
                raise errors.invalid_response()
        return b"".join(chunks)

    async def read_json(self) -> Any:
        """Return the body decoded from JSON. Ignores leading whitespace, which servers send as a keep-alive.

        Raises Problem if the body is not JSON.
        """
        return self._decode_json(await self.read_body())

    async def iter_events(self) -> AsyncGenerator[StreamEvent, None]:
        """Yield events until the body ends or an event named `end` arrives. Raises Problem."""
        parser = SSEParser(MAX_RESPONSE_SIZE)
        while chunk := await self._read_chunk():
            try:
                for event in parser.feed(chunk):
                    if event.name == "end":
                        return
                    self._outcome_recorder.record_event()
                    yield StreamEvent(event.name, self._decode_json(event.data))
                    if self._event_timeout is not None:
                        self._deadline_at = asyncio.get_running_loop().time() + self._event_timeout
            except EventTooLong as error:
                self._log_failure("invalid_stream", error=str(error))
                raise errors.invalid_response() from error

    async def _read_chunk(self) -> bytes:
        with self._translate_errors():
            async with asyncio.timeout_at(self._deadline_at):
                return await self._response.content.readany()

    def _decode_json(self, text: bytes | str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            self._log_failure(
                "invalid_json", error=str(error), status=self.status, media_type=self.media_type, length=len(text)
            )
            raise errors.invalid_response() from error


def decode_json_or_none(body: bytes) -> Any:
    """Return the decoded JSON, or None if the body is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
