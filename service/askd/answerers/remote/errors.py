"""Maps upstream failures to the problems that askd's clients receive.

Problems of another askd are passed on unchanged if the client can act on them; all others become 502 or 503. Causes
are only logged.
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from askd import errors
from askd.errors import Problem, Unavailable, UpstreamFailed

MAX_RETRY_AFTER: Final = 300
"""Maximum `Retry-After` in seconds that is passed on; a longer one is reduced to this."""

_STANDARD_MEMBERS: Final = {"type", "title", "status", "detail", "instance", "request_id"}
"""Problem members that are not passed on, because they describe the other server's request."""
_RESERVED_ARGUMENTS: Final = {"headers", "self"}
"""Parameter names of `Problem`, which must not be overwritten by extension members."""


def unreachable() -> Unavailable:
    """Return the problem for a connection that failed. The question has not reached a server."""
    return Unavailable("The upstream server cannot be reached. Retry in a moment.")


def not_ready(discovery_error: Problem) -> Unavailable:
    """Return the problem for a question that was not sent because discovery failed.

    Each waiting question needs its own exception, so an `Unavailable` is copied.
    """
    if not isinstance(discovery_error, Unavailable):
        return Unavailable("The upstream server is not ready yet. Retry in a moment.")
    problem = Unavailable(discovery_error.detail)
    problem.retry_after = discovery_error.retry_after
    return problem


def circuit_open(seconds: float) -> Unavailable:
    """Return the problem for an open circuit. `Retry-After` is up to 2 s longer at random, to spread the clients."""
    problem = Unavailable("The upstream server failed too often, so requests to it are paused. Retry in a moment.")
    problem.retry_after = max(math.ceil(seconds), 1) + random.randint(0, 2)  # noqa: S311 - not used for security
    return problem


def connection_lost() -> UpstreamFailed:
    """Return the problem for a connection that ended too early. The question may have been answered: no retry."""
    return UpstreamFailed("The upstream server closed the connection too early. Retry if it is safe to ask twice.")


def tls_failed() -> UpstreamFailed:
    """Return the problem for an untrusted certificate or a failed TLS handshake."""
    return UpstreamFailed("The TLS connection to the upstream server failed.")


def timed_out() -> UpstreamFailed:
    """Return the problem for an exceeded deadline."""
    return UpstreamFailed("The upstream server took too long. Ask for less, or retry later.")


def invalid_response() -> UpstreamFailed:
    """Return the problem for a response that does not follow the protocol."""
    return UpstreamFailed(
        "The upstream server sent an invalid response. The server log has the cause under this request id."
    )


def unavailable(retry_after: str | None, detail: str = "") -> Unavailable:
    """Return the problem for an upstream server that cannot answer now.

    Args:
        retry_after: The upstream's `Retry-After` header. Anything other than whole seconds counts as one second.
        detail: Explanation for the client; by default, that the server is overloaded.
    """
    problem = Unavailable(detail or "The upstream server is overloaded. Retry later.")
    if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        problem.retry_after = min(max(int(retry_after), 1), MAX_RETRY_AFTER)
    return problem


def denied(status: int, headers: Mapping[str, str]) -> Problem:
    """Return the problem for a client whose own `Authorization` the upstream server rejected with 401 or 403."""
    if status == 401:
        detail = "The upstream server does not accept this Authorization header."
        return errors.Unauthorized(detail, challenge=headers.get("WWW-Authenticate", "Bearer"))
    return errors.Refused(status, "The upstream server does not allow this client to ask.")


def problem_from_status(status: int, headers: Mapping[str, str]) -> Problem:
    """Return the problem for an error status. Lookups in `headers` must be case-insensitive."""
    if status in {429, 503}:
        return unavailable(headers.get("Retry-After"))
    if status == 409:
        return Unavailable("The thread is busy with another question. Retry in a moment.")
    if status in {401, 403}:
        return UpstreamFailed("The upstream server denied access. Its log has the cause under this request id.")
    return UpstreamFailed("The upstream server failed. The server log has the cause under this request id.")


def problem_from_askd(status: int, body: Any, headers: Mapping[str, str]) -> Problem:
    """Return the problem for an error response of another askd.

    Args:
        status: HTTP status of the response.
        body: The decoded JSON, normally a problem+json object; None if it was not JSON.
        headers: Headers of the response; lookups must be case-insensitive.
    """
    if not isinstance(body, Mapping):
        return problem_from_status(status, headers)
    code, detail = _get_text(body, "type").rpartition("#")[2], _get_text(body, "detail")
    if code == "unavailable":
        return unavailable(headers.get("Retry-After"), detail)
    if code == "refused" and 400 <= status < 500:
        return errors.Refused(status, detail)
    create_problem = _PROBLEM_FACTORIES.get(code)
    return create_problem(detail, body) if create_problem else problem_from_status(status, headers)


def _get_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _get_extension_members(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in _STANDARD_MEMBERS | _RESERVED_ARGUMENTS}


def _get_suggestions(body: Mapping[str, Any]) -> list[str]:
    value = body.get("suggestions")
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


_PROBLEM_FACTORIES: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Problem]]] = {
    "bad-question": lambda detail, body: errors.BadQuestion(_get_text(body, "parameter") or "q", detail),
    "no-answer": lambda _, body: errors.NoAnswer(_get_suggestions(body)),
    "interrupted": lambda detail, body: errors.Interrupted(detail, **_get_extension_members(body)),
    "body-too-large": lambda detail, _: errors.BodyTooLarge(detail),
    "loop-detected": lambda detail, _: errors.LoopDetected(detail),
}
"""By problem code: problems that the client can fix, or that must stop it from asking again."""
