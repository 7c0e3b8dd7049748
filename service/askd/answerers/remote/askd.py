"""`Askd`: another askd, or any server with its contract, as an answerer."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from service.answerers.remote import contract, faults
from service.answerers.remote.base import LOOK, Remote
from service.answerers.remote.problems import passed_on
from service.answerers.remote.reply import JSON, STREAM, Reply, Told, loosely
from service.errors import Problem
from service.models import Answer, Question

_log = structlog.get_logger("askd.upstream")


class Texts(dict[str, Any]):
    """Parameters that came as text, a list of strings for each name: so they are sent on, for the other to read."""


class Askd(Remote):
    """A server that is asked as this one is. What it tells of itself in `/openapi.json` is told here too."""

    kind = "askd"
    name = "askd"

    async def find(self) -> None:
        """Read the contract. One that cannot be had is none: `/ask` is what counts. Raises Problem."""
        until = self.upstream.until(LOOK)
        async with await self.upstream.send("GET", "/openapi.json", until=until) as reply:
            document = loosely(await reply.body()) if reply.status == 200 else None
        if reply.status == 429 or reply.status >= 500:
            raise faults.of_status(reply.status, reply.headers)
        title, self.streams = contract.about(document)
        self.name = title or "askd"
        self.contract = contract.contract_of(document)
        self.conversational = contract.conversational(document)

    def bind(self, given: Mapping[str, Any], *, textual: bool) -> Mapping[str, Any]:
        """Return what was given: the other askd validates it, and names what is faulty."""
        return Texts(given) if textual else given

    async def answer(self, question: Question) -> Answer:
        """Ask the other. Raises NoAnswer, BadQuestion and other Problems as it does."""
        async with await self._ask(question, JSON) as reply:
            return self._answer(await reply.json())

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the other's deltas as they come, then its answer. Leaving closes its stream, and so stops its code."""
        async with await self._ask(question, STREAM) as reply, aclosing(reply.events()) as events:
            async for event in events:
                if event.name == "delta" and isinstance(event.data, str):
                    yield event.data
                elif event.name == "answer":
                    yield self._answer(event.data)
                    return
                elif event.name == "error":
                    raise self._failure(_status(event), event.data, reply.headers)
        self.upstream.note("the stream ended without an answer")
        raise faults.broken()

    async def _ask(self, question: Question, accept: str) -> Reply:
        until = self.upstream.due(question)
        await self.reached()
        body = _body(question)
        reply = await self.upstream.send("POST", "/ask", question=question, until=until, accept=accept, **body)
        _log.debug("upstream times", status=reply.status, timing=reply.headers.get("Server-Timing", ""))
        if reply.status == 200 and reply.media_type == accept:
            return reply
        async with reply:
            found = loosely(await reply.body())
        raise self._failure(reply.status, found, reply.headers)

    def _failure(self, status: int, found: Any, headers: Mapping[str, str]) -> Problem:
        problem = faults.senseless() if status == 200 else passed_on(status, found, headers)
        if problem.status >= 500:
            said = found.get("detail") if isinstance(found, Mapping) else None
            self.upstream.note("refused", status=status, said=said)
        return problem

    def _answer(self, found: Any) -> Answer:
        if not isinstance(found, Mapping) or not isinstance(found.get("answer"), str):
            self.upstream.note("no answer in the reply", type=type(found).__name__)
            raise faults.senseless()
        return Answer(found["answer"], {name: value for name, value in found.items() if name != "answer"})


def _body(question: Question) -> dict[str, Any]:
    """Return what is sent, as aiohttp wants it: a form where the parameters came as text, else JSON."""
    named = {"q": question.text} | ({} if question.thread is None else {"thread": question.thread})
    if not isinstance(question.parameters, Texts):
        return {"json": {**question.parameters, **named}}
    texts = [(name, text) for name, values in question.parameters.items() for text in values]
    return {"data": [*texts, *named.items()]}


def _status(event: Told) -> int:
    status = event.data.get("status") if isinstance(event.data, Mapping) else None
    return status if isinstance(status, int) and 400 <= status < 600 else 502
