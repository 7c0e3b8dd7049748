"""What the client did that cannot be answered: 4xx."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from service.errors.base import Problem


class BadQuestion(Problem):
    """The question or a parameter is missing, malformed or out of bounds; the member `parameter` names it."""

    code = "bad-question"
    title = "Bad question"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail, parameter=parameter)


class Unauthorized(Problem):
    """The request has no token, or one that is not known. Send `Authorization: Bearer` and the token."""

    code = "unauthorized"
    title = "Unauthorized"
    status: int = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, challenge: str = "Bearer") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class NoAnswer(Problem):
    """The answerer has no answer to this question; `suggestions` are questions that it has answers to."""

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
    """The path exists, but not with this method; `Allow` lists those that it has."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status: int = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not allowed here. Use one of: {allow}.", headers={"Allow": allow})


class NotAcceptable(Problem):
    """The client's `Accept` admits none of the representations that the route has."""

    code = "not-acceptable"
    title = "Not acceptable"
    status: int = HTTPStatus.NOT_ACCEPTABLE


class RequestTimeout(Problem):
    """The body did not come within `ASKD_BODY_TIMEOUT`."""

    code = "request-timeout"
    title = "Request timeout"
    status: int = HTTPStatus.REQUEST_TIMEOUT


class Interrupted(Problem):
    """The graph asks something before it can go on; `interrupt` is what. Ask again in the same `thread`."""

    code = "interrupted"
    title = "Interrupted"
    status: int = HTTPStatus.CONFLICT


class BodyTooLarge(Problem):
    """The body is longer than `ASKD_BODY_MAX_SIZE`."""

    code = "body-too-large"
    title = "Body too large"
    status: int = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unsupported(Problem):
    """The body is of a media type, or in a character set, that is not read."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status: int = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class ExpectationFailed(Problem):
    """The request has an `Expect` other than `100-continue`."""

    code = "expectation-failed"
    title = "Expectation failed"
    status: int = HTTPStatus.EXPECTATION_FAILED


class TooManyRequests(Problem):
    """The client has asked as often as it may for now; `Retry-After` and `RateLimit` say when it may again."""

    code = "too-many-requests"
    title = "Too many requests"
    status: int = HTTPStatus.TOO_MANY_REQUESTS
    retry_after = 1

    def __init__(self, retry_after: int, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"This client has used up its rate. Ask again in {retry_after} s.", headers=headers)
        self.retry_after = retry_after


class Refused(Problem):
    """The user's code refused the question with a 4xx of its own; its detail passes through."""

    code = "refused"
    title = "Refused"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
