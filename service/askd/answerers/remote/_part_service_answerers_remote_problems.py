"""Problems of another askd, passed on as the same where they are the client's to mend, and as 502 or 503 otherwise."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from service import errors
from service.answerers.remote import faults
from service.errors import Problem

_OWN: Final = {"type", "title", "status", "detail", "instance", "request_id"}
"""Members that are made anew here: they tell of this exchange, not of the other's."""
_NAMED: Final = {"headers", "self"}
"""Names of arguments that a member must not be mistaken for."""


def passed_on(status: int, found: Any, headers: Mapping[str, str]) -> Problem:
    """Return the problem to raise for another askd's. `found` is its problem+json, or whatever it sent instead."""
    if not isinstance(found, Mapping):
        return faults.of_status(status, headers)
    code, detail = _text(found, "type").rpartition("#")[2], _text(found, "detail")
    known = _KNOWN.get(code)
    if code == "unavailable":
        return faults.busy(headers.get("Retry-After"), detail)
    if code == "refused" and 400 <= status < 500:
        return errors.Refused(status, detail)
    return known(detail, found) if known else faults.of_status(status, headers)


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _members(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in _OWN | _NAMED}


def _suggestions(found: Mapping[str, Any]) -> list[str]:
    value = found.get("suggestions")
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


_KNOWN: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Problem]]] = {
    "bad-question": lambda detail, found: errors.BadQuestion(_text(found, "parameter") or "q", detail),
    "no-answer": lambda _, found: errors.NoAnswer(_suggestions(found)),
    "interrupted": lambda detail, found: errors.Interrupted(detail, **_members(found)),
    "body-too-large": lambda detail, _: errors.BodyTooLarge(detail),
    "looped": lambda detail, _: errors.Looped(detail),
}
"""By the problem's code: those that the client can mend, or that tell it not to ask again."""
