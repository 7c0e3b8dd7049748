"""The roots of the error tree."""

from collections.abc import Mapping
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
