"""Turn every error into an RFC 9457 problem, and render it as JSON or HTML.

Unexpected errors are logged once; their text never reaches the client.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from askd.api import rendering
from askd.context import request_context_var
from askd.errors import AnswererFailed, InternalError, NotFound, Problem
from askd.httpserver.negotiation import prefers_html
from askd.httpserver.responses import PROBLEM_TYPE, RenderedResponse

RenderPage = Callable[[Mapping[str, Any], str], tuple[bytes, str]]
"""Renders the members of a problem as HTML below a path prefix. Returns body and Content-Security-Policy."""

_PACKAGE_FOLDER: Final = str(Path(__file__).parents[1])
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

    def render(self, error: Problem, path: str, accept: str) -> RenderedResponse:
        """Render the problem for a request with this raw path and `Accept` header."""
        members = self.problem_details(error, path)
        headers = {"Cache-Control": "no-store", "Vary": "Accept", **error.headers}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if prefers_html(accept):
            body, headers["Content-Security-Policy"] = self._render_page(members, self._prefix)
            headers |= {
                "Content-Type": rendering.HTML_TYPE,
                "Referrer-Policy": "no-referrer",
                "X-Frame-Options": "DENY",
            }
        else:
            body = rendering.encode_json(members)
            headers["Content-Type"] = PROBLEM_TYPE
        return RenderedResponse(int(error.status), headers, body)

    def render_aiohttp(self, request: web.Request, error: Problem) -> web.Response:
        """Render the problem as an aiohttp response to this request."""
        response = self.render(error, request.rel_url.raw_path, request.headers.get(hdrs.ACCEPT, "")).to_aiohttp()
        if not request.content.is_eof():
            # `Connection: close` makes the client stop sending a body that nobody reads.
            response.force_close()
        return response


def error_type(error: Problem) -> str:
    """Return the error type for logs and traces: the class that the user's code raised, or the problem code."""
    cause = error.__cause__ if isinstance(error, AnswererFailed) else None
    return error.code if cause is None else type(cause).__qualname__


def to_problem(error: Exception) -> Problem:
    """Return the problem to send for any exception. Logs exceptions that are bugs of askd or of the user's code."""
    if isinstance(error, web.HTTPNotFound):
        return NotFound("There is nothing at this path. See /docs for the available paths.")
    if isinstance(error, AnswererFailed):
        _log.error("answerer_failed", exc_info=_without_own_frames(error.__cause__ or error))
        return error
    if isinstance(error, Problem):
        return error
    _log.error("internal_error", exc_info=error)
    return InternalError()


def _without_own_frames(error: BaseException) -> BaseException:
    """Remove askd's frames from the start of the traceback, so that it begins at the user's line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE_FOLDER):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
