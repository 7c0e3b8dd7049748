"""Load shedding: 503 responses from templates, because the cost of a refusal limits the throughput under overload.

The templates are cut from responses that were rendered in full, so that both produce the same bytes.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Final

from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from askd.api.instrumentation import REQUEST_ID_HEADER, Instrumentation, RequestLabels
from askd.api.problems import ProblemRenderer, error_type
from askd.context import RequestContext, choose_request_id, format_server_timing, request_context_var
from askd.errors import Overloaded
from askd.guards.concurrency import jittered_retry_after
from askd.httpserver import messages, templates
from askd.httpserver.negotiation import prefers_html

_PLACEHOLDER_ID: Final = "0askd0id0"
"""Request id of the response that a template is cut from. Must not occur in it by chance."""
MAX_ID_LENGTHS: Final = 32
"""Lengths of request ids with templates; each has one template per `Retry-After` value (three). Ids made by askd all
have the same length."""


class ShedResponses:
    """503 responses to shed questions at `path`. Each is counted in the metrics; the log has a summary."""

    def __init__(self, problem_renderer: ProblemRenderer, instrumentation: Instrumentation, path: str) -> None:
        self._problem_renderer = problem_renderer
        self._instrumentation = instrumentation
        self._path = path
        self._templates: dict[tuple[int, int], templates.ResponseTemplate] = {}  # by Retry-After and length of the id
        self._labels: RequestLabels | None = None  # created when the first request is shed

    def try_respond_without_context(
        self, message: RawRequestMessage, arrived_at: float, client: str, *, close_connection: bool
    ) -> bytes | None:
        """Shed a request that has no request context and is not traced, and return the response.

        Returns:
            None if the response depends on more than the request id: a request context is needed.
        """
        instrumentation, headers = self._instrumentation, message.headers
        if close_connection or instrumentation.cors_enabled or message.method != "GET" or _wants_html(headers):
            return None
        request_id = choose_request_id(headers.get(REQUEST_ID_HEADER))
        if self._labels is None:
            self._labels = instrumentation.labels_for("/ask", "GET", int(Overloaded.status))
        duration = instrumentation.finish_shed(self._labels, arrived_at, client=client)
        template = self._get_template(jittered_retry_after(), len(request_id))
        return template.render(request_id, f"total;dur={duration * 1e3:.3f}")

    def respond(
        self, context: RequestContext, error: Overloaded, message: RawRequestMessage, *, close_connection: bool
    ) -> bytes:
        """Finish a shed request in metrics, log and trace, and return the response."""
        context.status, context.was_shed, context.error_type = error.status, True, error_type(error)
        instrumentation, headers = self._instrumentation, message.headers
        is_head = message.method == "HEAD"
        if (
            close_connection
            or context.rate_limit_headers is not None
            or instrumentation.cors_enabled
            or is_head
            or _wants_html(headers)
        ):
            rendered = self._problem_renderer.render(error, self._path, headers.get(hdrs.ACCEPT, ""))
            instrumentation.add_headers(headers, rendered.headers)
            data = messages.serialize_response(rendered, omit_body=is_head, close_connection=close_connection)
        else:
            template = self._get_template(error.retry_after or 0, len(context.request_id))
            data = template.render(context.request_id, format_server_timing(context, monotonic()))
        instrumentation.finish_request(context, quiet=False)
        return data

    def _get_template(self, retry_after: int, id_length: int) -> templates.ResponseTemplate:
        return self._templates.get((retry_after, id_length)) or self._build_template(retry_after, id_length)

    def _build_template(self, retry_after: int, id_length: int) -> templates.ResponseTemplate:
        """Render a response in full and cut a template from it."""
        previous_context = request_context_var.get()
        request_context_var.set(
            RequestContext(request_id=_PLACEHOLDER_ID, method="GET", route=self._path, arrived_at=monotonic())
        )
        try:
            rendered = self._problem_renderer.render(Overloaded(retry_after), self._path, "")
            self._instrumentation.add_headers({}, rendered.headers)
        finally:
            request_context_var.set(previous_context)
        if len(self._templates) >= 3 * MAX_ID_LENGTHS:
            self._templates.clear()
        template = templates.make_response_template(
            messages.serialize_response(rendered, omit_body=False, close_connection=False),
            request_id=_PLACEHOLDER_ID,
            request_id_length=id_length,
        )
        self._templates[retry_after, id_length] = template
        return template


def _wants_html(headers: Mapping[str, str]) -> bool:
    accept = headers.get(hdrs.ACCEPT, "")
    return bool(accept) and prefers_html(accept)
