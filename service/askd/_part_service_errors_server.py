"""What failed on this side: 5xx."""

from http import HTTPStatus

from service.errors.base import Problem


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
    """Not now: the answerer is being loaded, or the server is stopping."""

    code = "unavailable"
    title = "Unavailable"
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 1


class Overloaded(Unavailable):
    """More is asked than can be answered in time, so that this question was refused at once, and cost nothing."""

    code = "overloaded"
    title = "Overloaded"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("The server is asked more than it can answer in time. Ask again after Retry-After seconds.")
        self.retry_after = retry_after


class DeadlineExceeded(Problem):
    """The answer was not there within the time that the client or the server allows for it."""

    code = "deadline-exceeded"
    title = "Deadline exceeded"
    status: int = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self, seconds: float) -> None:
        super().__init__(f"There was no answer within {seconds:g} s. Ask for less, or allow more time if you may.")


class NotCached(Problem):
    """The client asked for what is in the cache and nothing else (`only-if-cached`), and it is not there."""

    code = "not-cached"
    title = "Not cached"
    status: int = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self) -> None:
        super().__init__("The cache has no such answer. Ask without only-if-cached to have the code asked.")
