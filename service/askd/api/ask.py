"""`/ask`: aiohttp handlers that parse the question, run the pipeline and render the answer."""

import asyncio

from aiohttp import HttpVersion11, hdrs, http_exceptions, web

from askd.api import parsing, rendering
from askd.api.question import AskRequest, QuestionParser
from askd.api.streaming import StreamResponder
from askd.context import get_request_context
from askd.errors import BadQuestion, Problem, RequestTimeout
from askd.httpserver import protocol
from askd.httpserver.connections import CloseReason
from askd.httpserver.negotiation import Representation
from askd.pipeline import Pipeline


class AskHandlers:
    """The handlers of `/ask`."""

    def __init__(self, pipeline: Pipeline, question_parser: QuestionParser, stream_responder: StreamResponder) -> None:
        self._pipeline = pipeline
        self._question_parser = question_parser
        self._stream_responder = stream_responder

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /ask?q=…`."""
        return await self._respond(
            request, self._question_parser.parse_get(get_request_context(), request.headers, request.raw_path)
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /ask` with JSON or a form."""
        context, headers = get_request_context(), request.headers
        options = self._question_parser.parse_response_options(context, headers)
        media_type = parsing.parse_media_type(headers.get(hdrs.CONTENT_TYPE))
        body = await self._read_body(request)
        ask_request = self._question_parser.parse_post(context, headers, options, media_type, body)
        return await self._respond(request, ask_request)

    async def _read_body(self, request: web.Request) -> bytes:
        """Read the body, but not beyond its size limit. Raises BodyTooLarge, BadQuestion, RequestTimeout."""
        limit = self._question_parser.limits.max_body_size
        if (request.content_length or 0) > limit:
            raise parsing.body_too_large(limit)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the interim response does not count as the beginning of the response
        timeout = self._question_parser.limits.body_timeout
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(timeout):
                return await request.read()
        except TimeoutError:
            protocol.record_close_reason(request, CloseReason.BODY_TIMEOUT)
            raise RequestTimeout(
                f"The request body did not arrive within {timeout:g} s. Send it faster, or send a shorter one."
            ) from None
        except web.HTTPRequestEntityTooLarge:
            raise parsing.body_too_large(limit) from None
        except (web.RequestPayloadError, http_exceptions.BadHttpMessage):
            raise BadQuestion("body", "The request body does not match its Transfer-Encoding or length.") from None

    async def _respond(self, request: web.Request, ask_request: AskRequest) -> web.StreamResponse:
        options = ask_request.response_options
        protocol.set_deadline(request, options.deadline)
        with self._pipeline.begin(ask_request.question, ask_request.cache_directives) as execution:
            if options.representation is Representation.STREAM:
                return await self._stream_responder.respond(request, execution, event_timeout=options.event_timeout)
            try:
                answer = execution.immediate or await execution.answer()
            except Problem as error:
                error.headers = {**error.headers, **rendering.cache_status_headers(execution)}
                raise
            finally:
                get_request_context().leader_id = execution.leader_id or ""
            return rendering.render_answer(
                execution, answer, options.representation, request.headers, safe_method=request.method != "POST"
            ).to_aiohttp()
