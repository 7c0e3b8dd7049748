"""What can go wrong, and what each fault means to a client or to the person who starts the server.

    AskdError
    ├── Problem                     an exchange failed; rendered as RFC 9457 problem+json
    │   ├── BadQuestion        400  the question or a parameter is faulty
    │   ├── NoAnswer           404  the answerer has no answer; may suggest others
    │   ├── NotFound           404  no such path
    │   ├── MethodNotAllowed   405  the path exists, the method does not
    │   ├── NotAcceptable      406  no representation that the client accepts
    │   ├── Interrupted        409  the graph asks something before it can go on
    │   ├── BodyTooLarge       413  the body is over the limit
    │   ├── Unsupported        415  a body of a media type that is not read
    │   ├── ExpectationFailed  417  an Expect other than 100-continue
    │   ├── Refused            4xx  the user's code refused, with a status of its own
    │   ├── AnswererFailed     500  the user's code failed; its text stays in the log
    │   │   └── RecursionLimit      the graph came to no end within its steps
    │   ├── InternalError      500  askd itself failed; the text stays in the log
    │   ├── UpstreamFailed     502  the server behind askd failed, or its answer is none
    │   ├── Looped             508  the question came back to askd that sent it
    │   └── Unavailable        503  not now: starting, draining or overloaded
    └── StartupError                one or more lines for a person, exit code 2
        ├── SettingsError           faulty settings, all of them at once
        ├── SpecError               the answerer's spec leads nowhere
        ├── LoadError               the answerer was found and could not be loaded
        └── ListenError             an address cannot be listened on

`code` is the stable name of a problem: the last part of its `type`, the anchor of its description in `/docs`.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar


class AskdError(Exception):
    """Root of everything that askd raises on purpose."""


class Problem(AskdError):
    """An exchange that failed in a way that the client is told about.

    `detail` is for the client: it names the input, the fault and the mend, and nothing internal. `members` are
    RFC 9457 extension members (`parameter`, `suggestions`, …); `headers` go onto the response.
    """

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    status: int = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    retry_after: int | None = None
    """Whole seconds after which asking again makes sense; None sends no `Retry-After`."""

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}
        self.members = members


class BadQuestion(Problem):
    """The question or a parameter is missing, malformed or out of bounds; the member `parameter` names it."""

    code = "bad-question"
    title = "Bad question"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail, parameter=parameter)


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


class Refused(Problem):
    """The user's code refused the question with a 4xx of its own; its detail passes through."""

    code = "refused"
    title = "Refused"
    status: int = HTTPStatus.BAD_REQUEST

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class AnswererFailed(Problem):
    """The user's code raised or returned what is no answer. The cause is in the log under the request's id."""

    code = "answerer-failed"
    title = "The answerer failed"

    def __init__(self, detail: str = "The code that answers failed. Its log has the cause under this id.") -> None:
        super().__init__(detail)


class RecursionLimit(AnswererFailed):
    """The graph came to no end within the steps that it may take. Its author may allow more: `recursion_limit`."""

    code = "recursion-limit"
    title = "Recursion limit reached"

    def __init__(self) -> None:
        super().__init__("The graph came to no end within the steps that it may take. Its log has more under this id.")


class InternalError(Problem):
    """askd itself failed. The cause is in the log under the request's id."""

    def __init__(self) -> None:
        super().__init__("The server failed. Its log has the cause under this id.")


class UpstreamFailed(Problem):
    """The server that answers for askd failed, or what it sent is no answer. The cause is in the log."""

    code = "upstream-failed"
    title = "Upstream failed"
    status: int = HTTPStatus.BAD_GATEWAY


class Looped(Problem):
    """The question was passed on so often that it must be going round in a circle."""

    code = "looped"
    title = "Loop detected"
    status: int = HTTPStatus.LOOP_DETECTED


class Unavailable(Problem):
    """Not now: the answerer is being loaded, the server is stopping, or there is too much to do."""

    code = "unavailable"
    title = "Unavailable"
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1


class StartupError(AskdError):
    """The server cannot start. The message is for the person who starts it; the process exits with 2."""


class SettingsError(StartupError):
    """One or more settings are faulty: `faults` has a line for each, with name, value and what is allowed."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class SpecError(StartupError):
    """The answerer's spec leads nowhere; the message names what was found instead."""


class LoadError(StartupError):
    """The answerer was found and could not be loaded; the message names the file, the line and the fault."""


class ListenError(StartupError):
    """An address cannot be listened on; the message says who holds it, where that can be seen."""
