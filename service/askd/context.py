"""Context of one request: the source of its access log line, metrics, span and response headers."""

import re
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import quote

import msgspec
from multidict import istr

from askd.models import StageTimings

TRACEPARENT_HEADER: Final = istr("traceparent")
MAX_LOGGED_PATH_LENGTH: Final = 200
"""Characters of `url.path` in the log: scanners send paths of several kilobytes."""
_PATH_SAFE_CHARACTERS: Final = "%/!$&'()*+,;=:@~"
_TRACEPARENT_PATTERN: Final = re.compile(
    r"(?!ff|00-.{53})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


class RequestContext(msgspec.Struct, kw_only=True):
    """One request as logs, metrics and traces see it."""

    request_id: str
    method: str
    route: str
    """Template of the route, `unmatched` if no route has the path."""
    arrived_at: float
    """When its first byte arrived, in seconds of `time.monotonic`."""
    trace_id: str = ""
    """Id of its trace in hexadecimal; empty without a valid `traceparent` and without sampling."""
    span_id: str = ""
    """Id of its span in hexadecimal; empty if it is not sampled."""
    quiet: bool = False
    """Whether it is left out of log, metrics and traces, as requests to ops endpoints are."""
    sampling: Any = None
    """The tracer's decision to trace it; None if it is not traced."""
    span: Any = None
    """State of the tracer until the request ends; None if it is not sampled."""
    unsampled_span_context: Any = None
    """Ids that an unsampled request propagates; None until they are needed."""
    url_path: str = ""
    """Escaped path, only set if the route is `unmatched`."""
    client: str = ""
    """Address of the client."""
    caller: str = ""
    """Name of the client's token; empty if no token is required."""
    status: int = 0
    """HTTP status; 0 until it is known."""
    was_shed: bool = False
    """Whether it was rejected by load shedding."""
    error_type: str = ""
    """Code of the problem, or type of the exception that the answerer raised; empty for success."""
    problem: str = ""
    """Code of the problem that the response reports; empty if it reports none."""
    parameter: str = ""
    """Parameter that the problem is about; empty if it is not about one."""
    detail: str = ""
    """Detail of the problem."""
    leader_id: str = ""
    """Id of the request whose call this one shared (single flight); empty if it shared none."""
    question_text: str = ""
    rate_limit_headers: tuple[str, str] | None = None
    """Values of `RateLimit-Policy` and `RateLimit`; None without a rate limit."""
    stages: StageTimings = msgspec.field(default_factory=StageTimings)


request_context_var: Final[ContextVar[RequestContext | None]] = ContextVar("askd_request", default=None)
"""Context of the current request, None outside of requests. Log lines take their ids from it."""


def get_request_context() -> RequestContext:
    """Return the context of the current request. Raises LookupError outside of a request."""
    context = request_context_var.get()
    if context is None:
        raise LookupError("no request is being handled in this context")
    return context


def parse_trace_id(traceparent: str | None) -> str:
    """Return the trace id of a W3C `traceparent` header, empty if the header is missing or malformed.

    Only versions after 00 may be longer (Trace Context, section 3.2.4).
    """
    match = _TRACEPARENT_PATTERN.fullmatch(traceparent) if traceparent else None
    return match[1] if match else ""


def escape_path(target: str) -> str:
    """Return the path of a raw request target for the log: without the query, in printable ASCII, not too long."""
    path = target.partition("?")[0][:MAX_LOGGED_PATH_LENGTH]
    return quote(path, safe=_PATH_SAFE_CHARACTERS, errors="surrogateescape")[:MAX_LOGGED_PATH_LENGTH]
