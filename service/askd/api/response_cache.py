"""Response cache: complete responses for repeated GET requests, sent without parsing the request again.

It contains responses with an immediate answer of the answerer (a book has one for each of its questions), valid for one
version of the answerer, and responses from the answer cache, valid while that cache has the answer. The cache key
covers everything that affects the response; requests with other relevant headers are not served from here.
"""

from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Final, NamedTuple

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_parser import RawRequestMessage

from askd.api import cache_headers, question
from askd.api.instrumentation import REQUEST_ID_HEADER, Instrumentation, RequestLabels
from askd.context import TRACEPARENT_HEADER, RequestContext, choose_request_id, format_server_timing, parse_trace_id
from askd.guards.cache import NO_DIRECTIVES, AnswerCache
from askd.httpserver import templates
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.fast_path_connection import FastPathConnection
from askd.httpserver.templates import ResponseTemplate
from askd.models import Answer
from askd.pipeline import CacheKey, Execution, Pipeline
from askd.telemetry.tracing import SamplingDecision

MAX_ENTRIES: Final = 1024
"""Maximum number of entries; the cache is cleared when it is full."""
MAX_KEY_LENGTH: Final = 512
"""Longest cache key in characters."""
MAX_RESPONSE_BYTES: Final = 256 << 10
"""Largest response in bytes: for larger ones, rendering costs little compared with sending."""
MAX_TOTAL_BYTES: Final = 16 << 20
"""Maximum size of all responses in bytes; the cache is cleared when it is exceeded."""

_CacheKey = tuple[str, str, str, str]
"""Method, target, `Accept` and `If-None-Match`."""


class _CachedResponse(NamedTuple):
    template: ResponseTemplate
    answerer_version: str
    route: str
    question_text: str
    status: int
    answer_cache_entry: tuple[CacheKey, Answer] | None
    """The entry of the answer cache that the response depends on, or None for an immediate answer of the answerer."""
    labels: RequestLabels


class ResponseCache:
    """Response cache of one pipeline."""

    def __init__(
        self, pipeline: Pipeline, instrumentation: Instrumentation, client_resolver: ClientAddressResolver
    ) -> None:
        self._pipeline = pipeline
        self._instrumentation = instrumentation
        self._client_resolver = client_resolver
        self.entries: dict[_CacheKey, _CachedResponse] = {}
        """The entries; always the same object, so that a caller can keep a reference."""
        self._total_bytes = 0

    def serve(
        self, message: RawRequestMessage, connection: FastPathConnection, sampled: SamplingDecision | None = None
    ) -> bytes | None:
        """Return the cached response and finish the request in metrics, log and trace; return None on a miss.

        May only be called if `Instrumentation.is_context_optional` and no admission check applies.

        Args:
            sampled: Result of `Instrumentation.decide_sampling`; None if the request is not traced.
        """
        entry = self._get_valid(message)
        headers = message.headers
        if (
            entry is None
            or message.version != HttpVersion11
            or hdrs.EXPECT in headers
            or connection.should_close_after(message)
        ):
            return None
        cache_lines, cache_seconds = b"", None
        if entry.answer_cache_entry is not None:
            started = perf_counter()
            hit_lines = _cache_hit_headers(self._pipeline.cache, entry.answer_cache_entry, headers)
            if hit_lines is None:
                return None
            cache_lines, cache_seconds = hit_lines, perf_counter() - started
        request_id = choose_request_id(headers.get(REQUEST_ID_HEADER))
        if sampled is not None:
            context = self._make_context(message, connection, entry, request_id)
            context.stages.cache = cache_seconds
            self._instrumentation.finish_traced(context, headers, message.path, sampled)
            return entry.template.render(request_id, format_server_timing(context, monotonic()), cache_lines)
        cache_ms = "" if cache_seconds is None else f"{cache_seconds * 1e3:.3f}"
        total_ms = self._instrumentation.finish_without_context(
            entry.labels,
            request_id,
            connection.arrived_at,
            client=self._client_resolver.resolve(connection.peer_address, headers),
            trace_id=parse_trace_id(headers.get(TRACEPARENT_HEADER)),
            cache_ms=cache_ms,
        )
        cache_timing = f"cache;dur={cache_ms}, " if cache_ms else ""
        server_timing = f"{cache_timing}render;dur=0.000, total;dur={total_ms}"
        return entry.template.render(request_id, server_timing, cache_lines)

    def _make_context(
        self, message: RawRequestMessage, connection: FastPathConnection, entry: _CachedResponse, request_id: str
    ) -> RequestContext:
        headers = message.headers
        context = RequestContext(
            request_id=request_id,
            trace_id=parse_trace_id(headers.get(TRACEPARENT_HEADER)),
            method=message.method,
            route=entry.route,
            client=self._client_resolver.resolve(connection.peer_address, headers),
            arrived_at=connection.arrived_at,
            status=entry.status,
            question_text=entry.question_text,
        )
        context.stages.render = 0.0
        return context

    def lookup(self, message: RawRequestMessage, context: RequestContext) -> bytes | None:
        """Return the cached response and update the request context; return None on a miss."""
        entry = self._get_valid(message)
        if entry is None:
            return None
        cache_lines = b""
        if entry.answer_cache_entry is not None:
            started = perf_counter()
            hit_lines = _cache_hit_headers(self._pipeline.cache, entry.answer_cache_entry, message.headers)
            if hit_lines is None:
                return None
            cache_lines, context.stages.cache = hit_lines, perf_counter() - started
        context.question_text, context.status, context.stages.render = entry.question_text, entry.status, 0.0
        return entry.template.render(context.request_id, format_server_timing(context, monotonic()), cache_lines)

    def _get_valid(self, message: RawRequestMessage) -> _CachedResponse | None:
        entry = self.entries.get(_cache_key(message))
        if (
            entry is None
            or entry.answerer_version != self._pipeline.answerer.version
            or question.has_timeout_header(message.headers)
        ):
            return None
        return entry

    def store(self, message: RawRequestMessage, execution: Execution, context: RequestContext, data: bytes) -> None:
        """Store the serialized response of a finished request if it may be reused."""
        status = context.status
        if (
            execution.immediate is None
            or not execution.cacheable
            or status not in {200, 304}
            or len(data) > MAX_RESPONSE_BYTES
        ):
            return
        key = _cache_key(message)
        if sum(map(len, key)) > MAX_KEY_LENGTH or question.has_timeout_header(message.headers):
            return
        answer_cache_entry = None
        if execution.cache_hit is not None:
            if execution.cache_key is None or execution.cache_directives is not NO_DIRECTIVES:
                return
            answer_cache_entry = execution.cache_key, execution.immediate
        self._total_bytes += len(data)
        if len(self.entries) >= MAX_ENTRIES or self._total_bytes > MAX_TOTAL_BYTES:
            self.entries.clear()
            self._total_bytes = len(data)
        self.entries[key] = _CachedResponse(
            templates.make_response_template(data),
            execution.dependencies.answerer.version,
            context.route,
            execution.question.text,
            status,
            answer_cache_entry,
            self._instrumentation.labels_for(context.route, context.method, status),
        )


def _cache_key(message: RawRequestMessage) -> _CacheKey:
    headers = message.headers
    return message.method, message.path, headers.get(hdrs.ACCEPT, ""), headers.get(hdrs.IF_NONE_MATCH, "")


def _cache_hit_headers(
    cache: AnswerCache, answer_cache_entry: tuple[CacheKey, Answer], headers: Mapping[str, str]
) -> bytes | None:
    """Return the `Cache-Status` and `Age` lines of a hit in the answer cache.

    Returns None if the cache no longer has this answer, or the request has cache directives.
    """
    if hdrs.CACHE_CONTROL in headers or hdrs.PRAGMA in headers:
        return None
    hit = cache.revalidate(*answer_cache_entry)
    if hit is None:
        return None
    return f"Cache-Status: {cache_headers.cache_status_hit(hit)}\r\nAge: {cache_headers.age_header(hit)}\r\n".encode()
