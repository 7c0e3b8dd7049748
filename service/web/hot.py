"""What is asked again and again and is always at hand: answered without being read again.

Only answers that the answerer itself has at hand, as the book has those to its own questions: they hold as long as its
version does. Everything that could make the answer another is in the key, or keeps the request from here.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Final, NamedTuple

from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from service.telemetry.exchange import Exchange, server_timing
from service.turn import Turn
from service.web import deadline, form
from service.web.form import Form

ENTRIES: Final = 1024
"""Responses that are remembered; when there are more, all are forgotten."""
LONGEST: Final = 512
"""Characters of the longest target and `Accept` that are remembered, and bytes of the longest response over that."""
_SPECIAL: Final = (deadline.WISH, deadline.ENVOY, hdrs.IF_NONE_MATCH)
"""Headers with which a request is read."""

Key = tuple[str, str, str]


class _Known(NamedTuple):
    """A response, the version of the answerer that it is from, and its question."""

    form: Form
    version: str
    text: str
    status: int


class Hot:
    """Remembers responses."""

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}

    def find(self, message: RawRequestMessage, record: Exchange, version: str) -> bytes | None:
        """Return the response to the same request as before, and note it on the record; None: there is none."""
        headers = message.headers
        known = self._known.get((message.method, message.path, headers.get(hdrs.ACCEPT, "")))
        if known is None or known.version != version or _special(headers):
            return None
        now = monotonic()
        record.question, record.status, record.stages.render = known.text, known.status, 0.0
        return known.form.fill(record.id, server_timing(record, now))

    def keep(self, message: RawRequestMessage, turn: Turn, status: int, data: bytes) -> None:
        """Remember a response, if it may be given again."""
        headers = message.headers
        accept = headers.get(hdrs.ACCEPT, "")
        own = turn.at_hand is not None and turn.kept is None and turn.keeps and status == 200
        if not own or len(message.path) + len(accept) > LONGEST or len(data) > LONGEST * 8 or _special(headers):
            return
        if len(self._known) >= ENTRIES:
            self._known.clear()
        key = message.method, message.path, accept
        self._known[key] = _Known(form.cut(data), turn.guards.answerer.version, turn.question.text, status)


def _special(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in _SPECIAL)
