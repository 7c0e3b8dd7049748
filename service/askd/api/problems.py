"""Failures: every error becomes one RFC 9457 problem; what is unexpected is logged once, and its text stays here."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import hdrs, web

from service.errors import AnswererFailed, InternalError, NotFound, Problem
from service.telemetry.exchange import CURRENT
from service.web import render
from service.web.negotiate import prefers_html
from service.web.reply import Reply

Page = Callable[[Mapping[str, Any], str], tuple[bytes, str]]
"""Makes the readable page of a problem below a prefix: its HTML, and its Content-Security-Policy."""

_log = structlog.get_logger("askd.failures")


class Failures:
    """Renders errors for the client that caused them: JSON, or a page where HTML is preferred."""

    def __init__(self, prefix: str, page: Page) -> None:
        self._prefix = prefix
        self._page = page
        self.ending: Problem | None = None
        """What exchanges that are cancelled are answered with, once the server ends; None: their clients have left."""

    def problem(self, error: Problem, path: str) -> dict[str, Any]:
        """Return the problem's members for a request of this path, as it was sent."""
        exchange = CURRENT.get()
        if exchange is not None:
            exchange.fault = fault(error)
        return render.problem(error, id=exchange.id if exchange else "", path=path, prefix=self._prefix)

    def reply(self, error: Problem, path: str, accept: str) -> Reply:
        """Render a problem for a request of this path, with this `Accept`."""
        members = self.problem(error, path)
        headers = {"Cache-Control": "no-store", "Vary": "Accept", **error.headers}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if prefers_html(accept):
            body, headers["Content-Security-Policy"] = self._page(members, self._prefix)
            headers |= {"Content-Type": render.HTML_TYPE, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
        else:
            body = render.encode(members)
            headers["Content-Type"] = render.PROBLEM_TYPE
        return Reply(int(error.status), headers, body)

    def response(self, request: web.Request, error: Problem) -> web.Response:
        """Render a problem for this request."""
        response = self.reply(error, request.rel_url.raw_path, request.headers.get(hdrs.ACCEPT, "")).response()
        if not request.content.is_eof():
            response.force_close()  # says that the rest of the body is not read: the client may stop sending it
        return response


def fault(error: Problem) -> str:
    """Return an error in a word, for telemetry: the type of what the code raised, else the problem's code."""
    cause = error.__cause__ if isinstance(error, AnswererFailed) else None
    return error.code if cause is None else type(cause).__qualname__


def known(error: Exception) -> Problem:
    """Return the problem that a client is told of for any error; what is unexpected is logged here, once."""
    if isinstance(error, web.HTTPNotFound):
        return NotFound("There is nothing at this path. See /docs for what there is.")
    if isinstance(error, AnswererFailed):
        _log.error("the answerer failed", exc_info=error.__cause__ or error)
        return error
    if isinstance(error, Problem):
        return error
    _log.error("uncaught error", exc_info=error)
    return InternalError()
