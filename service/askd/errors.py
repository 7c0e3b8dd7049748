"""Every error that askd raises on purpose: the client's errors, the server's errors, and startup errors.

    AskdError
    ├── Problem                     a failed request; rendered as RFC 9457 problem+json
    │   ├── BadQuestion           400  the question or a parameter is invalid
    │   ├── Unauthorized          401  the token is missing or unknown
    │   ├── NoAnswer              404  the question cannot be answered; may suggest others
    │   ├── NotFound              404  no route has this path
    │   ├── MethodNotAllowed      405  the path exists, but not with this method
    │   ├── NotAcceptable         406  no representation matches `Accept`
    │   ├── RequestTimeout        408  the body did not arrive in time
    │   ├── Interrupted           409  the graph waits for input before it can continue
    │   ├── BodyTooLarge          413  the body exceeds the limit
    │   ├── UnsupportedMediaType  415  the media type of the body is not supported
    │   ├── ExpectationFailed     417  an Expect other than 100-continue
    │   ├── TooManyRequests       429  the client exceeded its rate limit
    │   ├── Refused               4xx  the user's code rejected the question with its own status (also 503)
    │   ├── AnswererFailed        500  the user's code failed; the cause is only in the log
    │   │   ├── RecursionLimit         the graph reached its recursion limit
    │   │   └── WorkerDied             the worker process that ran the code died
    │   ├── InternalError         500  askd itself failed; the cause is only in the log
    │   ├── UpstreamFailed        502  the upstream server failed or sent an invalid response
    │   ├── LoopDetected          508  the question was forwarded in a circle
    │   ├── Unavailable           503  the server is starting or draining
    │   │   └── Overloaded             the request was shed
    │   ├── DeadlineExceeded      504  the answer was not ready before the deadline
    │   └── NotCached             504  `only-if-cached`, and the response is not in the cache
    └── StartupError                the server cannot start: lines for the operator, exit code 2
        ├── SettingsError           invalid settings, all of them at once
        ├── SpecError               the spec does not name an answerer
        ├── LoadError               the answerer was found but cannot be loaded
        └── ListenError             the server cannot listen on an address

`code` is the stable name of a problem: the last part of its `type`, and the anchor of its description in `/docs`. The
docstrings of the problems are shown there and in OpenAPI, so they are written for clients.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar


class AskdError(Exception):
    """Base class of everything that askd raises on purpose."""


class Problem(AskdError):
    """A failed request, sent to the client as RFC 9457 problem+json.

    Args:
        detail: Text for the client: the input, the error and how to fix it. Nothing internal.
        headers: Headers to add to the response.
        extensions: RFC 9457 extension members (`parameter`, `suggestions`, …).
    """

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    status: int = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    retry_after: int | None = None
    """Whole seconds for `Retry-After`; None omits the header."""

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}
        self.extensions = extensions


class BadQuestion(Problem):
    """The question or a parameter is missing, malformed or out of bounds; the member `parameter` names it."""

    code = "bad-question"
    title = "Bad question"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail, parameter=parameter)


class Unauthorized(Problem):
    """The token is missing or unknown. Send it as `Authorization: Bearer TOKEN`."""

    code = "unauthorized"
    title = "Unauthorized"
    status: int = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, challenge: str = "Bearer") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class NoAnswer(Problem):
    """The answerer cannot answer this question; `suggestions` are similar questions that it can answer."""

    code = "no-answer"
    title = "No answer"
    status: int = HTTPStatus.NOT_FOUND

    def __init__(self, suggestions: Sequence[str] = ()) -> None:
        detail = "There is no answer to this question."
        super().__init__(f"{detail} See suggestions." if suggestions else detail, suggestions=list(suggestions))


class NotFound(Problem):
    """No route has this path."""

    code = "not-found"
    title = "Not found"
    status: int = HTTPStatus.NOT_FOUND


class MethodNotAllowed(Problem):
    """The path exists, but not with this method; `Allow` lists the methods that it supports."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status: int = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not allowed here. Use one of: {allow}.", headers={"Allow": allow})


class NotAcceptable(Problem):
    """No representation of the resource matches the client's `Accept`."""

    code = "not-acceptable"
    title = "Not acceptable"
    status: int = HTTPStatus.NOT_ACCEPTABLE


class RequestTimeout(Problem):
    """The body did not arrive within `ASKD_BODY_TIMEOUT`."""

    code = "request-timeout"
    title = "Request timeout"
    status: int = HTTPStatus.REQUEST_TIMEOUT


class Interrupted(Problem):
    """The graph waits for input, described by `interrupt`. Send the reply as a question in the same `thread`."""

    code = "interrupted"
    title = "Interrupted"
    status: int = HTTPStatus.CONFLICT


class BodyTooLarge(Problem):
    """The body is longer than `ASKD_BODY_MAX_SIZE`."""

    code = "body-too-large"
    title = "Body too large"
    status: int = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(Problem):
    """The media type or the character set of the body is not supported."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status: int = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class ExpectationFailed(Problem):
    """The request has an `Expect` other than `100-continue`."""

    code = "expectation-failed"
    title = "Expectation failed"
    status: int = HTTPStatus.EXPECTATION_FAILED


class TooManyRequests(Problem):
    """The client exceeded its rate limit; `Retry-After` and `RateLimit` show when it may send more."""

    code = "too-many-requests"
    title = "Too many requests"
    status: int = HTTPStatus.TOO_MANY_REQUESTS
    retry_after = 1

    def __init__(self, retry_after: int, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"Rate limit exceeded. Retry in {retry_after} s.", headers=headers)
        self.retry_after = retry_after


class Refused(Problem):
    """The answerer's code rejected the question with its own status (4xx or 503) and detail."""

    code = "refused"
    title = "Refused"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class AnswererFailed(Problem):
    """The answerer's code raised an exception or returned an invalid answer. The log has the cause."""

    code = "answerer-failed"
    title = "The answerer failed"

    def __init__(
        self, detail: str = "The answerer failed. The server log has the cause under this request id."
    ) -> None:
        super().__init__(detail)


class RecursionLimit(AnswererFailed):
    """The graph did not finish within its `recursion_limit`, which its author can raise."""

    code = "recursion-limit"
    title = "Recursion limit reached"

    def __init__(self) -> None:
        super().__init__("The graph reached its recursion limit. The server log has the cause under this request id.")


class WorkerDied(AnswererFailed):
    """The worker process that ran the answerer's code died during this request. Other requests are not affected."""

    code = "worker-died"
    title = "Worker process died"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The worker process that ran the code {reason} during this request. The server log has more under this "
            f"request id."
        )


class InternalError(Problem):
    """askd itself failed. The log has the cause under the request id."""

    def __init__(self) -> None:
        super().__init__("The server failed. The server log has the cause under this request id.")


class UpstreamFailed(Problem):
    """The upstream server failed or sent an invalid response. The log has the cause."""

    code = "upstream-failed"
    title = "Upstream failed"
    status: int = HTTPStatus.BAD_GATEWAY


class LoopDetected(Problem):
    """The question was forwarded too often: the servers forward it to one another in a circle."""

    code = "loop-detected"
    title = "Loop detected"
    status: int = HTTPStatus.LOOP_DETECTED


class Unavailable(Problem):
    """The answerer is still loading, or the server is shutting down."""

    code = "unavailable"
    title = "Unavailable"
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1


class Overloaded(Unavailable):
    """The server has more requests than it can answer in time, so it rejected this one at once."""

    code = "overloaded"
    title = "Overloaded"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("The server is overloaded. Retry after the seconds in Retry-After.")
        self.retry_after = retry_after


class DeadlineExceeded(Problem):
    """The answer was not ready before the deadline that the client or the server set."""

    code = "deadline-exceeded"
    title = "Deadline exceeded"
    status: int = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"There was no answer within {seconds:g} s. Retry with a longer deadline if the server allows it."
        )


class NotCached(Problem):
    """The client sent `only-if-cached`, and the response is not in the cache."""

    code = "not-cached"
    title = "Not cached"
    status: int = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self) -> None:
        super().__init__("The response is not in the cache. Retry without only-if-cached.")


class StartupError(AskdError):
    """The server cannot start. The message is for the operator; the process exits with code 2."""


class SettingsError(StartupError):
    """One or more settings are invalid. `errors` has a line for each: the name, the value and the allowed values."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


class SpecError(StartupError):
    """The spec does not name an answerer; the message lists the alternatives."""


class LoadError(StartupError):
    """The answerer was found but cannot be loaded; the message names the file, the line and the error."""


class ListenError(StartupError):
    """The server cannot listen on an address; the message names the process that uses it, if known."""
