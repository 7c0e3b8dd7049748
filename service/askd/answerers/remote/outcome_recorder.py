"""Outcome of an attempt at the upstream server, for the circuit breaker, metrics and trace.

`OutcomeRecorder` decides which outcomes count as failures for the circuit breaker: connection errors, time-outs and
statuses of 500 and above. Envoy's outlier detection calls connection errors and 502, 503 and 504 "gateway failures".

Deliberate responses of the application are not failures. An overloaded server (429, or 503 with `Retry-After`) still
answers some requests, which an open circuit would prevent. A question that fails (problem+json, or a failed LangGraph
run, which has status 200) must not count either: otherwise a client could block all others by repeating it.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp

from askd.circuit_breaker import Attempt
from askd.models import ClientSpan, Question

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
MIN_TIMEOUT_SHARE: Final = 0.5
"""Minimum share of the configured deadline after which a time-out counts as a failure.

Otherwise clients with short deadlines could open the circuit for all others."""
_DEADLINE_TOLERANCE: Final = 0.05
"""A cancellation at most this many seconds before the question's deadline counts as a time-out."""


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
