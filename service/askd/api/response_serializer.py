"""Serializer: responses of the fast path as bytes, from templates where the headers repeat.

Rendering all headers anew costs a third of a request with a trivial answer, and most of a refusal, whose cost limits
the throughput under overload (measured). Templates are cut from responses that were rendered in full, so that both
produce the same bytes.
"""

from http import HTTPStatus
from time import monotonic
from typing import Final

from aiohttp import hdrs

from askd.api.instrumentation import Instrumentation
from askd.api.problems import ProblemRenderer, error_type
from askd.context import RequestContext, request_context_var
from askd.errors import Overloaded
from askd.httpserver import responses
from askd.httpserver.negotiation import prefers_html
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.response_templates import (
    HeadersTemplate,
    ResponseTemplate,
    make_headers_template,
    make_response_template,
)
from askd.httpserver.responses import RenderedResponse

MAX_TEMPLATES: Final = 128
"""Templates of each kind; beyond, the refusals' are cleared, and other responses are rendered in full."""
_PLACEHOLDER_ID: Final = "0askd0id0"
"""Request id of the refusal that a template is cut from. Must not occur in it by chance."""


class ResponseSerializer:
    """Serializes the responses to questions at `path`."""

    def __init__(self, instrumentation: Instrumentation, problem_renderer: ProblemRenderer, path: str) -> None:
        self._instrumentation = instrumentation
        self._problem_renderer = problem_renderer
        self._path = path
        self._headers_templates: dict[tuple[str, ...], HeadersTemplate] = {}
        # By `Retry-After`, length of the request id, and whether the connection closes.
        self._shed_templates: dict[tuple[int, int, bool], ResponseTemplate] = {}

    def serialize(
        self, context: RequestContext, rendered: RenderedResponse, head: RequestHead, *, closes: bool
    ) -> bytes:
        """Return a response with the common headers, without its body for HEAD."""
        is_head = head.method == "HEAD"
        has_template = not (
            is_head
            or closes
            or context.rate_limit_headers is not None
            or rendered.status != HTTPStatus.OK
            or hdrs.ETAG in rendered.headers  # differs for each answer, so that a template would not be used again
            or self._instrumentation.cors_enabled
        )
        key = tuple(rendered.headers.values())
        if has_template and (template := self._headers_templates.get(key)) is not None:
            return template.render(context, rendered.body)
        self._instrumentation.add_headers(head.headers, rendered.headers)
        data = responses.serialize_response(rendered, omit_body=is_head, close_connection=closes)
        if has_template and len(self._headers_templates) < MAX_TEMPLATES:
            self._headers_templates[key] = make_headers_template(data)
        return data

    def serialize_shed(self, context: RequestContext, error: Overloaded, head: RequestHead, *, closes: bool) -> bytes:
        """Return the response to a request that was shed."""
        accept = head.headers.get(hdrs.ACCEPT, "")
        context.status, context.error_type = error.status, error_type(error)
        if (
            head.method == "HEAD"
            or context.rate_limit_headers is not None
            or self._instrumentation.cors_enabled
            or prefers_html(accept)
        ):
            rendered = self._problem_renderer.render(error, self._path, accept, head.target)
            return self.serialize(context, rendered, head, closes=closes)
        retry_after, id_length = error.retry_after or 0, len(context.request_id)
        template = self._shed_templates.get((retry_after, id_length, closes))
        if template is None:
            template = self._build_shed_template(retry_after, id_length, closes=closes)
        return template.render(context)

    def _build_shed_template(self, retry_after: int, id_length: int, *, closes: bool) -> ResponseTemplate:
        """Render a refusal in full and cut a template from it."""
        previous_context = request_context_var.get()
        request_context_var.set(
            RequestContext(request_id=_PLACEHOLDER_ID, method="GET", route=self._path, arrived_at=monotonic())
        )
        try:
            rendered = self._problem_renderer.render(Overloaded(retry_after), self._path, "")
            self._instrumentation.add_headers({}, rendered.headers)
        finally:
            request_context_var.set(previous_context)
        if len(self._shed_templates) >= MAX_TEMPLATES:
            self._shed_templates.clear()
        template = make_response_template(
            responses.serialize_response(rendered, omit_body=False, close_connection=closes),
            request_id=_PLACEHOLDER_ID,
            request_id_length=id_length,
        )
        self._shed_templates[retry_after, id_length, closes] = template
        return template
