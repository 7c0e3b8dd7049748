"""`/ask`: parse, ask the pipeline, render."""

from time import perf_counter
from typing import Final

from aiohttp import HttpVersion11, hdrs, http_exceptions, web

from service.errors import BadQuestion, Unavailable
from service.guards.health import Health
from service.models import Answer, Question
from service.pipeline import Pipeline
from service.telemetry.exchange import CURRENT
from service.web import negotiate, parse, render
from service.web.negotiate import Representation
from service.web.stream import Streams

_TYPES: Final = {Representation.JSON: render.JSON_TYPE, Representation.TEXT: render.TEXT_TYPE}


class Ask:
    """The handlers of `/ask`. `longest` is in characters, `body_limit` in bytes."""

    def __init__(self, pipeline: Pipeline, health: Health, streams: Streams, *, longest: int, body_limit: int) -> None:
        self._pipeline = pipeline
        self._health = health
        self._streams = streams
        self._longest = longest
        self._body_limit = body_limit

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /ask?q=…`."""
        representation = negotiate.representation(request.headers.get(hdrs.ACCEPT, ""))
        text, given = parse.query(request.raw_path.partition("?")[2])
        return await self._respond(request, representation, self._question(request, text, given, textual=True))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /ask` with JSON or a form."""
        representation = negotiate.representation(request.headers.get(hdrs.ACCEPT, ""))
        media = parse.media_type(request.headers.get(hdrs.CONTENT_TYPE))
        body = await self._body(request)
        text, given = parse.json_body(body) if media == parse.JSON else parse.form_body(body)
        question = self._question(request, text, given, textual=media == parse.FORM)
        return await self._respond(request, representation, question)

    async def _body(self, request: web.Request) -> bytes:
        """Read the body up to its limit, no further. Raises BodyTooLarge, BadQuestion."""
        if (request.content_length or 0) > self._body_limit:
            raise parse.too_large(self._body_limit)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise parse.too_large(self._body_limit) from None
        except (web.RequestPayloadError, http_exceptions.BadHttpMessage):
            raise BadQuestion("body", "The body is not encoded as its headers say.") from None

    def _question(self, request: web.Request, text: str, given: parse.Given, *, textual: bool) -> Question:
        if not self._health.answers:
            raise Unavailable(self._health.fault or "The answerer is being loaded. Ask again in a moment.")
        parse.check_length(text, self._longest)
        thread = self._thread(given, textual=textual)
        parameters = self._pipeline.answerer.bind(given, textual=textual)
        exchange = CURRENT.get()
        if exchange is None:
            return Question(text=text, parameters=parameters, thread=thread)
        exchange.question = text
        return Question(
            text=text,
            parameters=parameters,
            thread=thread,
            id=exchange.id,
            client=exchange.client,
            headers=request.headers,
            stages=exchange.stages,
        )

    def _thread(self, given: parse.Given, *, textual: bool) -> str | None:
        """Take the conversation out of `given`, where the answerer has such; else the name is a parameter as others.

        Here, and nowhere else, a thread gets the scope of whoever asks, once callers have names.
        """
        return parse.thread(given, textual=textual) if self._pipeline.answerer.conversational else None

    async def _respond(
        self, request: web.Request, representation: Representation, question: Question
    ) -> web.StreamResponse:
        if representation is Representation.STREAM:
            return await self._streams.respond(request, question)
        answer = self._pipeline.at_hand(question)
        if answer is None:
            answer = await self._pipeline.answer(question)
        return self._rendered(request, representation, answer, question)

    def _rendered(
        self, request: web.Request, representation: Representation, answer: Answer, question: Question
    ) -> web.Response:
        started = perf_counter()
        deterministic = self._pipeline.keeps(question)
        version = self._pipeline.answerer.version
        body, tag = (
            render.rendered(answer, representation, version)
            if deterministic
            else (render.body(answer, representation), "")
        )
        headers = {"Content-Type": _TYPES[representation], "Vary": "Accept", "Cache-Control": "no-store"}
        status = 200
        if deterministic:
            headers["ETag"] = tag
            headers["Cache-Control"] = "no-cache"
            condition = request.headers.get(hdrs.IF_NONE_MATCH)
            if condition is not None and request.method != "POST" and render.matches(condition, tag):
                status, body = 304, b""
                del headers["Content-Type"]
        question.stages.render = perf_counter() - started
        return web.Response(status=status, body=body or None, headers=headers)
