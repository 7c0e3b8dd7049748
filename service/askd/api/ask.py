"""`/ask`: read, ask the pipeline, render."""

import asyncio

from aiohttp import HttpVersion11, hdrs, http_exceptions, web

from service.errors import BadQuestion, Problem, RequestTimeout
from service.guards.connections import Reason
from service.pipeline import Pipeline
from service.telemetry.exchange import current
from service.web import connection, parse, reply
from service.web.asked import Asked, Reader
from service.web.negotiate import Representation
from service.web.stream import Streams


class Ask:
    """The handlers of `/ask`."""

    def __init__(self, pipeline: Pipeline, reader: Reader, streams: Streams) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._streams = streams

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /ask?q=…`."""
        return await self._respond(request, self._reader.get(current(), request.headers, request.raw_path))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /ask` with JSON or a form."""
        exchange, headers = current(), request.headers
        manner = self._reader.manner(exchange, headers)
        media = parse.media_type(headers.get(hdrs.CONTENT_TYPE))
        body = await self._body(request)
        return await self._respond(request, self._reader.post(exchange, headers, manner, media, body))

    async def _body(self, request: web.Request) -> bytes:
        """Read the body up to its limit, no further. Raises BodyTooLarge, BadQuestion, RequestTimeout."""
        limit = self._reader.limits.body
        if (request.content_length or 0) > limit:
            raise parse.too_large(limit)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        seconds = self._reader.limits.body_timeout
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(seconds):
                return await request.read()
        except TimeoutError:
            connection.because(request, Reason.BODY_TIMEOUT)
            raise RequestTimeout(
                f"The body did not come within {seconds:g} s. Send it at once, or a shorter one."
            ) from None
        except web.HTTPRequestEntityTooLarge:
            raise parse.too_large(limit) from None
        except (web.RequestPayloadError, http_exceptions.BadHttpMessage):
            raise BadQuestion("body", "The body is not encoded as its headers say.") from None

    async def _respond(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        manner = asked.manner
        connection.set_due(request, manner.until)
        with self._pipeline.begin(asked.question, asked.wishes) as turn:
            if manner.representation is Representation.STREAM:
                return await self._streams.respond(request, turn, between=manner.between)
            try:
                answer = turn.at_hand or await turn.answer()
            except Problem as error:
                error.headers = {**error.headers, **reply.cached(turn)}
                raise
            finally:
                current().leader = turn.leader or ""
            safe = request.method != "POST"
            return reply.answered(turn, answer, manner.representation, request.headers, safe=safe).response()
