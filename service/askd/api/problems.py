"""Turn every error into an RFC 9457 problem, and render it as JSON or HTML.

Unexpected errors are logged once; their text never reaches the client.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import hdrs, web

from askd.answerers.user_code.exceptions import WorkerException, without_own_frames
from askd.api import rendering
from askd.context import request_context_var
from askd.errors import AnswererFailed, InternalError, NotFound, Problem, WorkerDied
from askd.httpserver.negotiation import prefers_html
from askd.httpserver.responses import PROBLEM_TYPE, RenderedResponse

ProblemEncoder = Callable[[web.Request, Problem, Mapping[str, Any]], bytes]
"""Encodes a problem, with its members of RFC 9457, as JSON of another format than problem+json."""
RenderPage = Callable[[Mapping[str, Any], str, str], tuple[bytes, str]]
"""Renders a problem as HTML: gets its members, the path prefix of the server, and the query string of the request.

Returns body and Content-Security-Policy.
"""

_log = structlog.get_logger("askd.problems")


class ProblemRenderer:
    """Renders problems: JSON by default, an HTML page if the client prefers HTML."""

    def __init__(self, prefix: str, page: RenderPage) -> None:
        self._prefix = prefix
        self._render_page = page

    def problem_details(self, error: Problem, path: str) -> dict[str, Any]:
        """Return the members of the problem, and record its type in the request context.

        Args:
            error: The problem.
            path: Raw path of the request.
        """
        context = request_context_var.get()
        if context is not None:
            context.error_type = error_type(error)
            context.problem, context.detail = error.code, error.detail
            context.parameter = str(error.extensions.get("parameter", ""))
        return rendering.problem_details(
            error, request_id=context.request_id if context else "", path=path, prefix=self._prefix
        )

    def render(self, error: Problem, path: str, accept: str, target: str = "") -> RenderedResponse:
        """Render the problem for a request with this raw path, `Accept` header and raw target."""
        members = self.problem_details(error, path)
        headers = {"Vary": "Accept", **_problem_headers(error)}
        if prefers_html(accept):
            body, headers["Content-Security-Policy"] = self._render_page(
                members, self._prefix, target.partition("?")[2]
            )
            headers |= {
                "Content-Type": rendering.HTML_TYPE,
                "Referrer-Policy": "no-referrer",
                "X-Frame-Options": "DENY",
            }
        else:
            body = rendering.encode_json(members)
            headers["Content-Type"] = PROBLEM_TYPE
        return RenderedResponse(int(error.status), headers, body)

    def render_aiohttp(
        self, request: web.Request, error: Problem, encode: ProblemEncoder | None = None
    ) -> web.Response:
        """Render the problem as an aiohttp response to this request; `encode` encodes it in the route's own format."""
        path = request.rel_url.raw_path
        if encode is None:
            response = self.render(error, path, request.headers.get(hdrs.ACCEPT, ""), request.raw_path).to_aiohttp()
        else:
            body = encode(request, error, self.problem_details(error, path))
            headers = {**_problem_headers(error), "Content-Type": rendering.JSON_TYPE}
            response = RenderedResponse(int(error.status), headers, body).to_aiohttp()
        if not request.content.is_eof():
            # `Connection: close` makes the client stop sending a body that nobody reads.
            response.force_close()
        return response


def _problem_headers(error: Problem) -> dict[str, str]:
    retry_after = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return {"Cache-Control": "no-store", **error.headers, **retry_after}


def error_type(error: Problem) -> str:
    """Return the error type for logs and traces: the class that the user's code raised, or the problem code."""
    cause = error.__cause__ if isinstance(error, AnswererFailed) else None
    return error.code if cause is None else type(cause).__qualname__


def to_problem(error: Exception) -> Problem:
    """Return the problem to send for any exception. Logs exceptions that are bugs of askd or of the user's code."""
    if isinstance(error, web.HTTPNotFound):
        return NotFound("There is nothing at this path. See /docs for the available paths.")
    if isinstance(error, AnswererFailed):
        _log.error("answerer_failed", **_exception_fields(error.__cause__ or error))
        return error
    if isinstance(error, Problem):
        return error
    _log.error("internal_error", exc_info=error)
    return InternalError()


def _exception_fields(error: BaseException) -> dict[str, Any]:
    """Return the log fields for an exception, which a worker process has formatted already."""
    if isinstance(error, WorkerException):
        return {"exception": error.traceback}
    if isinstance(error, WorkerDied):
        return {"error": error.detail}
    return {"exc_info": without_own_frames(error)}
