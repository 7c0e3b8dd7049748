"""Build a validated question from the headers, target and body of a request.

The deadline of a request is the smallest of the server's own limit, `X-Request-Timeout` (set by clients, in seconds or
as `500ms`) and `X-Envoy-Expected-Rq-Timeout-Ms` (set by Envoy and proxies based on it; 0 means no limit).
"""

import re
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping, istr

from askd.api import cache_headers, request_values
from askd.api.admission import RedactedHeaders, scope_thread_id
from askd.context import RequestContext
from askd.errors import BadQuestion, DeadlineExceeded, Unavailable
from askd.guards.cache import NO_DIRECTIVES, CacheDirectives
from askd.guards.health import AnswererHealth
from askd.httpserver import negotiation
from askd.httpserver.negotiation import Representation
from askd.models import Answerer, Question

REQUEST_TIMEOUT_HEADER: Final = "X-Request-Timeout"
ENVOY_TIMEOUT_HEADER: Final = "X-Envoy-Expected-Rq-Timeout-Ms"
TIMEOUT_HEADERS: Final = istr(REQUEST_TIMEOUT_HEADER), istr(ENVOY_TIMEOUT_HEADER)
"""Headers with which the client or a proxy limits the time for the response."""
_DURATION_PATTERN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)?", re.ASCII)
_JSON_SCHEMA_TEXT: Final = re.compile(r"[\x1c-\x1f\x85]")
"""Control characters that are space in Python, but not for the pattern `\\S` of the contract."""
_MILLISECONDS_PATTERN: Final = re.compile(r"\d{1,12}", re.ASCII)

Headers = Mapping[str, str]


def effective_timeout(max_timeout: float, headers: Headers) -> float:
    """Return the timeout of a request in seconds, at most `max_timeout`.

    Raises:
        BadQuestion: One of the timeout headers is malformed.
    """
    request_timeout, envoy_timeout = headers.get(REQUEST_TIMEOUT_HEADER), headers.get(ENVOY_TIMEOUT_HEADER)
    if request_timeout is not None:
        max_timeout = min(max_timeout, _parse_request_timeout(request_timeout))
    if envoy_timeout is not None:
        max_timeout = min(max_timeout, _parse_envoy_timeout(envoy_timeout) or max_timeout)
    return max_timeout


def _parse_request_timeout(text: str) -> float:
    match = _DURATION_PATTERN.fullmatch(text.strip())
    seconds = float(match[1]) * (0.001 if match[2] == "ms" else 1.0) if match else 0.0
    if seconds <= 0.0:
        raise BadQuestion(
            REQUEST_TIMEOUT_HEADER,
            f"'{REQUEST_TIMEOUT_HEADER}' is not a duration above 0. Send seconds or milliseconds, "
            "for example 2.5 or 500ms.",
        )
    return seconds


def _parse_envoy_timeout(text: str) -> float:
    if not _MILLISECONDS_PATTERN.fullmatch(text.strip()):
        raise BadQuestion(
            ENVOY_TIMEOUT_HEADER,
            f"'{ENVOY_TIMEOUT_HEADER}' is not a whole number of milliseconds. Do not set this header: "
            "the proxy sets it.",
        )
    return int(text.strip()) / 1000


class RequestLimits(NamedTuple):
    """Limits of a request: question length in characters, body size in bytes, times in seconds."""

    max_question_length: int
    max_body_size: int
    body_timeout: float
    deadline: float
    stream_deadline: float


class ResponseOptions(NamedTuple):
    """Negotiated representation, deadline (`time.monotonic`), and maximum seconds between two stream events."""

    representation: Representation
    deadline: float
    event_timeout: float


class AskRequest(NamedTuple):
    """A parsed request to `/ask`."""

    question: Question
    response_options: ResponseOptions
    cache_directives: CacheDirectives


class QuestionParser:
    """Parses requests to `/ask`.

    Every method raises a Problem if the request is invalid. Its detail names the invalid part and how to fix it.

    Args:
        answerer: Validates the parameters.
        health: Reports whether the answerer has been loaded.
        limits: Limits of a request.
        thread_scope: Name of the answerer, which keeps its threads apart from those of the server's others; empty if it
            is the only one.
    """

    def __init__(
        self, answerer: Answerer, health: AnswererHealth, limits: RequestLimits, *, thread_scope: str = ""
    ) -> None:
        self._answerer = answerer
        self._health = health
        self._thread_scope = thread_scope
        self.limits = limits

    def parse_get(self, context: RequestContext, headers: Headers, target: str) -> AskRequest:
        """Parse `GET /ask?q=…`; `target` is the raw request target."""
        options = self.parse_response_options(context, headers)
        text, parameters = request_values.parse_query(target.partition("?")[2], self._answerer.contract.question)
        return self._build_request(context, headers, options, text, parameters, from_strings=True)

    def parse_post(
        self, context: RequestContext, headers: Headers, options: ResponseOptions, media_type: str, body: bytes
    ) -> AskRequest:
        """Parse the body of `POST /ask`; `media_type` is JSON_TYPE or FORM_TYPE."""
        is_json = media_type == request_values.JSON_TYPE or request_values.looks_like_json(body)
        parse = request_values.parse_json if is_json else request_values.parse_form
        text, parameters = parse(body, self._answerer.contract.question)
        return self._build_request(context, headers, options, text, parameters, from_strings=not is_json)

    def parse_response_options(self, context: RequestContext, headers: Headers) -> ResponseOptions:
        """Negotiate the representation and compute the deadline.

        Raises:
            NotAcceptable: `Accept` excludes every representation.
            Problem: As `make_response_options`.
        """
        representation = negotiation.negotiate_representation(headers.get(hdrs.ACCEPT, ""))
        return self.make_response_options(context, headers, representation)

    def make_response_options(
        self, context: RequestContext, headers: Headers, representation: Representation
    ) -> ResponseOptions:
        """Compute the deadline of a response in this representation.

        Raises:
            BadQuestion: A timeout header is malformed.
            DeadlineExceeded: The deadline has already passed.
        """
        event_timeout = effective_timeout(self.limits.deadline, headers)
        is_stream = representation is Representation.STREAM
        total_timeout = self.limits.stream_deadline if is_stream else event_timeout
        if context.arrived_at + total_timeout <= monotonic():
            raise DeadlineExceeded(total_timeout)
        return ResponseOptions(representation, context.arrived_at + total_timeout, event_timeout)

    def parse_values(
        self,
        context: RequestContext,
        headers: Headers,
        options: ResponseOptions,
        values: request_values.RawParameters,
        *,
        history: Sequence[Mapping[str, str]] = (),
    ) -> AskRequest:
        """Parse the question and its parameters as JSON values by name; they are modified in place."""
        text = request_values.pop_question(values, self._answerer.contract.question, from_strings=False)
        return self._build_request(context, headers, options, text, values, from_strings=False, history=history)

    def require_loaded(self) -> None:
        """Raise Unavailable if the answerer, and so its contract, is not loaded."""
        if not self._health.is_loaded:
            raise Unavailable(self._health.load_error or "The answerer is still loading. Try again in a moment.")

    def _build_request(
        self,
        context: RequestContext,
        headers: Headers,
        options: ResponseOptions,
        text: str,
        parameters: request_values.RawParameters,
        *,
        from_strings: bool,
        history: Sequence[Mapping[str, str]] = (),
    ) -> AskRequest:
        self.require_loaded()
        check_question_length(text, self.limits.max_question_length)
        thread_id = None  # if the answerer does not support threads, `thread` is an ordinary parameter
        if self._answerer.supports_threads:
            thread_id = self._pop_thread_id(parameters, context.caller, from_strings=from_strings)
        context.question_text = text
        question = Question(
            text=text,
            parameters=self._answerer.parse_parameters(parameters, from_strings=from_strings),
            thread_id=thread_id,
            history=() if thread_id else history,  # the thread remembers it
            id=context.request_id,
            client=context.client,
            caller=context.caller,
            headers=RedactedHeaders(headers) if context.caller else headers,
            stages=context.stages,
            received_at=context.arrived_at,
            deadline=options.deadline,
        )
        directives = NO_DIRECTIVES
        if hdrs.CACHE_CONTROL in headers or hdrs.PRAGMA in headers:
            directives = _parse_cache_directives(headers)
        return AskRequest(question, options, directives)

    def _pop_thread_id(
        self, parameters: request_values.RawParameters, caller: str, *, from_strings: bool
    ) -> str | None:
        """Remove and return the thread id, scoped to the caller and to the answerer if there are several.

        This is the only place that scopes thread ids.
        """
        thread_id = request_values.pop_thread_id(parameters, from_strings=from_strings)
        for owner in (caller, self._thread_scope):
            thread_id = scope_thread_id(thread_id, owner) if thread_id is not None and owner else thread_id
        return thread_id


def check_question_length(text: str, max_length: int) -> None:
    """Raise BadQuestion if the question is blank or has more than `max_length` characters."""
    if not text or (text.isspace() and not _JSON_SCHEMA_TEXT.search(text)):
        raise BadQuestion("q", "'q' is empty. Send a question.")
    if len(text) > max_length:
        raise BadQuestion("q", f"'q' has {len(text)} characters; the maximum is {max_length}. Send a shorter question.")


def _parse_cache_directives(headers: Headers) -> CacheDirectives:
    """Combine repeated `Cache-Control` headers into one list (RFC 9110, section 5.3) and parse it."""
    cache_control = headers.get(hdrs.CACHE_CONTROL)
    if cache_control is not None and isinstance(headers, MultiMapping):
        cache_control = ",".join(headers.getall(hdrs.CACHE_CONTROL))
    return cache_headers.parse_cache_directives(cache_control, headers.get(hdrs.PRAGMA))
