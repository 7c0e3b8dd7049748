"""Replies: status, headers and body, before any way of sending them; every way out of the server writes the same."""

from http import HTTPStatus
from time import perf_counter
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from service.models import Answer
from service.turn import Turn
from service.web import cache_fields, render
from service.web.asked import Headers
from service.web.negotiate import Representation

_TYPES: Final = {Representation.JSON: render.JSON_TYPE, Representation.TEXT: render.TEXT_TYPE}


class Reply(NamedTuple):
    """What is sent back, but for what every response has."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def varies(self) -> bool:
        """Whether its headers are of this answer alone, or of this client."""
        return self.status != HTTPStatus.OK or "ETag" in self.headers

    def response(self) -> web.Response:
        """Return it as aiohttp sends it."""
        return web.Response(status=self.status, body=self.body or None, headers=self.headers)


def answered(turn: Turn, answer: Answer, representation: Representation, headers: Headers, *, safe: bool) -> Reply:
    """Render an answer for a request with these headers; `safe` methods may get 304. Raises AnswererFailed."""
    started = perf_counter()
    question = turn.question
    fields = {"Content-Type": _TYPES[representation], "Vary": "Accept", "Cache-Control": "no-store"}
    if not turn.keeps:
        reply = Reply(200, fields, render.body(answer, representation))
    else:
        body, tag = render.rendered(answer, representation, turn.guards.answerer.version)
        fields |= {"Cache-Control": "no-cache", "ETag": tag, **cached(turn)}
        condition = headers.get(hdrs.IF_NONE_MATCH)
        if condition is not None and safe and render.matches(condition, tag):
            del fields["Content-Type"]
            reply = Reply(304, fields, b"")
        else:
            reply = Reply(200, fields, body)
    question.stages.render = perf_counter() - started
    return reply


def cached(turn: Turn) -> dict[str, str]:
    """Say what the cache did; nothing where it was not looked into."""
    if turn.kept is not None:
        return {"Cache-Status": cache_fields.hit(turn.kept), "Age": cache_fields.age(turn.kept)}
    if turn.missed is None:
        return {}
    return {"Cache-Status": cache_fields.forwarded(turn.missed, stored=turn.stored, collapsed=turn.leader is not None)}
