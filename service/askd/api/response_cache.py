"""Response cache: complete responses for repeated GET requests, sent without parsing the question again.

It contains responses with an immediate answer of the answerer (a book has one for each of its questions), valid for one
version of the answerer, and responses from the answer cache, valid while that cache has the answer. The cache key
covers everything that affects the response; requests with other relevant headers are not served from here.
"""

from time import perf_counter
from typing import Any, Final, NamedTuple

from aiohttp import hdrs

from askd.api import cache_headers
from askd.context import RequestContext
from askd.guards.cache import NO_DIRECTIVES
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.response_templates import ResponseTemplate, make_response_template
from askd.models import Answer
from askd.pipeline import CacheKey, Execution, Pipeline

MAX_ENTRIES: Final = 1024
"""Maximum number of entries; the cache is cleared when it is full."""
MAX_KEY_LENGTH: Final = 512
"""Longest cache key in characters."""
MAX_RESPONSE_BYTES: Final = 256 << 10
"""Largest response in bytes: for larger ones, rendering costs little compared with sending."""
MAX_TOTAL_BYTES: Final = 16 << 20
"""Maximum size of all responses in bytes; the cache is cleared when it is exceeded."""


class CachedResponse(NamedTuple):
    """A response, and what it depends on."""

    template: ResponseTemplate
    answerer_version: str
    question_text: str
    status: int
    answer_cache_entry: tuple[CacheKey, Answer] | None
    """The entry of the answer cache that the response depends on, or None for an immediate answer of the answerer."""


class ResponseCache:
    """Response cache of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.entries: dict[tuple[Any, ...], CachedResponse] = {}
        """The responses by `RequestHead.fast_path_key`."""
        self._total_bytes = 0

    def render(self, entry: CachedResponse, head: RequestHead, context: RequestContext) -> bytes | None:
        """Return a response from the cache and complete the request context; None if the response is out of date."""
        if entry.answerer_version != self._pipeline.answerer.version:
            return None
        cache_lines = b""
        if entry.answer_cache_entry is not None:
            started = perf_counter()
            hit_lines = self._cache_hit_headers(entry.answer_cache_entry, head)
            if hit_lines is None:
                return None
            cache_lines, context.stages.cache = hit_lines, perf_counter() - started
        context.question_text, context.status, context.stages.render = entry.question_text, entry.status, 0.0
        return entry.template.render(context, cache_lines)

    def put(self, head: RequestHead, execution: Execution, context: RequestContext, data: bytes) -> None:
        """Keep the serialized response of a finished request if it may be reused."""
        status = context.status
        if (
            execution.immediate is None
            or not execution.cacheable
            or status not in {200, 304}
            or len(data) > MAX_RESPONSE_BYTES
        ):
            return
        *texts, has_timeout = key = head.fast_path_key or ()
        if has_timeout or sum(map(len, texts)) > MAX_KEY_LENGTH:
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
        self.entries[key] = CachedResponse(
            make_response_template(data),
            execution.pipeline.answerer.version,
            execution.question.text,
            status,
            answer_cache_entry,
        )

    def _cache_hit_headers(self, answer_cache_entry: tuple[CacheKey, Answer], head: RequestHead) -> bytes | None:
        """Return the `Cache-Status` and `Age` lines of a hit in the answer cache.

        Returns None if the cache no longer has this answer, or the request has cache directives.
        """
        if hdrs.CACHE_CONTROL in head.headers or hdrs.PRAGMA in head.headers:
            return None
        hit = self._pipeline.cache.revalidate(*answer_cache_entry)
        if hit is None:
            return None
        return (
            f"Cache-Status: {cache_headers.cache_status_hit(hit)}\r\nAge: {cache_headers.age_header(hit)}\r\n".encode()
        )
