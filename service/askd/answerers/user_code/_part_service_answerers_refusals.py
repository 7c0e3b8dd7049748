"""Exceptions of the user's code that carry an HTTP status of their own. A 4xx is meant for the client, and reaches it.

Recognised by the name and home of their class, so that no framework is imported. An attribute `status` alone is not
enough: the errors of HTTP clients have one as well, and what another server said to this one is no refusal.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import msgspec

from service.errors import AnswererFailed, Refused

_FRAMEWORKS: Final = {
    "aiohttp": ("status", "text"),
    "starlette": ("status_code", "detail"),  # FastAPI's derives from it
    "werkzeug": ("code", "description"),
    "litestar": ("status_code", "detail"),
}
_KEPT: Final = ("Retry-After", "WWW-Authenticate")


class Translated:
    """Context in which the user's code runs: what it raises leaves as something that the web layer understands.

    Everything else is left as it is, cancellation above all.
    """

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None:
            return
        if isinstance(fault, SystemExit | KeyboardInterrupt):
            raise AnswererFailed from fault  # it would end the server
        names = _names(type(fault))
        if names is not None:
            raise _as_problem(fault, *names) from fault


def _names(kind: type[BaseException]) -> tuple[str, str] | None:
    for base in kind.__mro__:
        home = base.__module__.partition(".")[0]
        if base.__name__ == "HTTPException" and home in _FRAMEWORKS:
            return _FRAMEWORKS[home]
    return None


def _as_problem(fault: BaseException, status_name: str, detail_name: str) -> Refused | AnswererFailed:
    """A status outside 4xx, a redirect say, is no answer: aiohttp would take its own kind for a response."""
    status = getattr(fault, status_name, None)
    if not isinstance(status, int) or not 400 <= status < 500:
        return AnswererFailed()
    refused = Refused(int(status), _detail(getattr(fault, detail_name, None), status))
    given = getattr(fault, "headers", None)
    if isinstance(given, Mapping):
        refused.headers = {name: str(given[name]) for name in _KEPT if name in given}
    return refused


def _detail(detail: Any, status: int) -> str:
    if isinstance(detail, str) and detail:
        return detail
    if detail:
        return msgspec.json.encode(detail, enc_hook=str).decode()
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a status that no standard names
        return "Refused."
