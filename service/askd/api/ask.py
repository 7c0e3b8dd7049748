"""The life of a request to an answerer, for every way in: `GET`, `POST`, streams, and the formats in `api/formats/`.

`Ask.__call__` is the fast path: it runs as soon as the bytes of a `GET` or `HEAD` have arrived, and responds without a
task, a request object and routing, which in Python cost as much as the rest of a request. A request that has to wait
for the answerer gets a task, and nothing else. aiohttp's handlers `get` and `post` serve the rest: bodies, streams,
HTTP/1.0, `Expect`, and rate limits that are checked over the network. The steps are the same, apart from the response
cache, which only the fast path uses; for aiohttp, `RequestMiddleware` takes the first two and the last:

    instrumentation.begin → admission → response cache → load shedding → parsing → pipeline → rendering → finish

The connection sends the bytes that the fast path returns, or those that a pending answer passes to it at its end.
"""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

from aiohttp import HttpVersion11, hdrs, http_exceptions, web

from askd.api import rendering, request_values
from askd.api.admission import AdmissionControl
from askd.api.instrumentation import CLIENT_CLOSED_REQUEST, Instrumentation
from askd.api.large_answers import LARGE_ANSWER, LargeAnswers, is_large
from askd.api.problems import ProblemRenderer, to_problem
from askd.api.question_parser import TIMEOUT_HEADERS, AskRequest, QuestionParser
from askd.api.response_cache import CachedResponse, ResponseCache
from askd.api.response_serializer import ResponseSerializer
from askd.api.streaming import AskEventEncoder, EventEncoder, StreamResponder
from askd.context import RequestContext, get_request_context, request_context_var
from askd.errors import BadQuestion, DeadlineExceeded, NotAcceptable, Overloaded, Problem, RequestTimeout
from askd.httpserver.aiohttp_bridge import bridge_of
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.connections import CloseReason
from askd.httpserver.negotiation import Representation, negotiate_representation
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.responses import RenderedResponse
from askd.models import Answer
from askd.pipeline import Execution, Pipeline

_METHODS: Final = frozenset({"GET", "HEAD"})


class Ask:
    """Serves `/ask`, or `/ask/NAME` of one of several answerers.

    Args:
        path: Path with the prefix of the server.
        route: Template of the route in metrics and logs.
        question_parser: Parses requests.
        pipeline: Answers questions.
        admission: Tokens and rate limits.
        client_resolver: Resolves client addresses behind proxies.
        instrumentation: Counts, logs and traces requests.
        problem_renderer: Renders errors.
        stream_responder: Sends streams.
        large_answers: Turns of large answers.
    """

    def __init__(
        self,
        path: str,
        route: str,
        *,
        question_parser: QuestionParser,
        pipeline: Pipeline,
        admission: AdmissionControl,
        client_resolver: ClientAddressResolver,
        instrumentation: Instrumentation,
        problem_renderer: ProblemRenderer,
        stream_responder: StreamResponder,
        large_answers: LargeAnswers,
    ) -> None:
        self._path = path
        self._path_with_query = path + "?"
        self._route = route
        self.question_parser = question_parser
        self.pipeline = pipeline
        self._admission = admission
        self._client_resolver = client_resolver
        self._instrumentation = instrumentation
        self._problem_renderer = problem_renderer
        self._stream_responder = stream_responder
        self._large_answers = large_answers
        self._cors_enabled = instrumentation.cors_enabled
        self._skips_admission, self._may_await_admission = admission.is_noop, admission.is_async
        self._serializer = ResponseSerializer(instrumentation, problem_renderer, path)
        self._response_cache = ResponseCache(pipeline)

    def __call__(self, head: RequestHead, connection: HttpConnection) -> "bytes | PendingAnswer | None":
        """Return the response, or the pending answer; None leaves the request to aiohttp."""
        key = head.fast_path_key
        if key is None:
            key = head.fast_path_key = self._fast_path_key(head)
        if not key:
            return None
        client = connection.peer_address
        if self._client_resolver.trusts_proxies:
            client = self._client_resolver.resolve(client, head.headers)
        context = self._instrumentation.begin(head, self._route, client, connection.arrived_at)
        may_reuse = not self._cors_enabled and head.keep_alive and connection.close_after_response_reason is None
        cached = self._response_cache.entries.get(key) if may_reuse else None
        if cached and self._skips_admission and (data := self._response_cache.render(cached, head, context)):
            self._instrumentation.finish(context, head)
            return data
        request_context_var.set(context)  # not before the response cache: setting it costs a tenth of a cache hit
        try:
            return self._handle(context, head, connection, cached=cached, may_reuse=may_reuse)
        except Exception as error:
            return self.finish_failed(context, error, head, connection)
        finally:
            request_context_var.set(None)  # the next request on this connection runs in the same context

    def _handle(
        self,
        context: RequestContext,
        head: RequestHead,
        connection: HttpConnection,
        *,
        cached: CachedResponse | None,
        may_reuse: bool,
    ) -> "bytes | PendingAnswer":
        """Run the steps from admission on."""
        if not self._skips_admission:
            self._admission.check(head.headers, context)
            may_reuse = may_reuse and context.rate_limit_headers is None
            if may_reuse and cached and (data := self._response_cache.render(cached, head, context)):
                self._instrumentation.finish(context, head)
                return data
        # If no answer can be immediate, the permit is acquired first: under overload, parsing would be wasted work.
        pipeline = self.pipeline
        permit = pipeline.admit(context.arrived_at) if pipeline.can_admit_before_parsing else None
        try:
            ask_request = self.question_parser.parse_get(context, head.headers, head.target)
            if self._instrumentation.is_tracing:
                self._instrumentation.start_trace(context, head)
            execution = pipeline.begin(ask_request.question, ask_request.cache_directives, permit=permit)
        except BaseException:
            if permit is not None:
                permit.release()
            raise
        if execution.immediate is None or is_large(execution.immediate):
            return PendingAnswer(self, context, head, connection, ask_request=ask_request, execution=execution)
        representation = ask_request.response_options.representation
        rendered = rendering.render_answer(
            execution, execution.immediate, representation, head.headers, safe_method=True
        )
        data = self.finish(context, rendered, head, connection)
        if may_reuse:
            self._response_cache.put(head, execution, context, data)
        return data

    def _fast_path_key(self, head: RequestHead) -> tuple[Any, ...]:
        """Return everything of a head that decides about the response; empty if the request is not for the fast path.

        The last item is whether the client limits the time for the response: such responses are not kept.
        """
        target, headers = head.target, head.headers
        accept = headers.get(hdrs.ACCEPT, "")
        if (
            not (target.startswith(self._path_with_query) or target == self._path)
            or head.method not in _METHODS
            or head.version != "1.1"
            or self._may_await_admission
            or hdrs.EXPECT in headers
            or (accept and _wants_stream(accept))
        ):
            return ()
        has_timeout = TIMEOUT_HEADERS[0] in headers or TIMEOUT_HEADERS[1] in headers
        return head.method, target, accept, headers.get(hdrs.IF_NONE_MATCH, ""), has_timeout

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /ask?q=…`, handled by aiohttp."""
        context = get_request_context()
        return await self._respond(
            request, context, self.question_parser.parse_get(context, request.headers, request.raw_path)
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /ask` with JSON or a form."""
        context, headers = get_request_context(), request.headers
        options = self.question_parser.parse_response_options(context, headers)
        media_type = request_values.parse_media_type(headers.get(hdrs.CONTENT_TYPE))
        body = await self.read_body(request)
        ask_request = self.question_parser.parse_post(context, headers, options, media_type, body)
        return await self._respond(request, context, ask_request)

    async def _respond(
        self, request: web.Request, context: RequestContext, ask_request: AskRequest
    ) -> web.StreamResponse:
        options = ask_request.response_options
        execution = self.begin(request, ask_request)
        if options.representation is Representation.STREAM:
            return await self.stream(request, execution, AskEventEncoder(), event_timeout=options.event_timeout)
        answer = await self.wait_for_answer(context, execution)
        safe_method = request.method != "POST"
        return rendering.render_answer(
            execution, answer, options.representation, request.headers, safe_method=safe_method
        ).to_aiohttp()

    def begin(self, request: web.Request, ask_request: AskRequest) -> Execution:
        """Begin the execution of a request that aiohttp handles. Raises Overloaded, NotCached."""
        bridge = bridge_of(request)
        if bridge is not None:
            bridge.connection.deadline = ask_request.response_options.deadline
        return self.pipeline.begin(ask_request.question, ask_request.cache_directives)

    async def stream(
        self, request: web.Request, execution: Execution, encoder: EventEncoder, *, event_timeout: float
    ) -> web.StreamResponse:
        """Stream the answer; `event_timeout` is the maximum number of seconds between two events."""
        with execution:
            return await self._stream_responder.respond(request, execution, encoder, event_timeout=event_timeout)

    async def wait_for_answer(self, context: RequestContext, execution: Execution) -> Answer:
        """Return the answer. Raises a Problem."""
        with execution:
            try:
                answer = execution.immediate or await execution.answer()
            except Problem as error:
                error.headers = {**error.headers, **rendering.cache_status_headers(execution)}
                raise
            finally:
                context.leader_id = execution.leader_id or ""
        if (answer.fields or len(answer.text) > LARGE_ANSWER) and is_large(answer):
            await self._large_answers.wait_for_turn(answer)
        return answer

    async def read_body(self, request: web.Request) -> bytes:
        """Read the body, but not beyond its size limit. Raises BodyTooLarge, BadQuestion, RequestTimeout."""
        limit = self.question_parser.limits.max_body_size
        if (request.content_length or 0) > limit:
            raise request_values.body_too_large(limit)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11 and (bridge := bridge_of(request)):
            bridge.write_continue()
        timeout = self.question_parser.limits.body_timeout
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(timeout):
                return await request.read()
        except TimeoutError:
            if bridge := bridge_of(request):
                bridge.connection.record_close_reason(CloseReason.BODY_TIMEOUT)
            raise RequestTimeout(
                f"The request body did not arrive within {timeout:g} s. Send it faster, or send a shorter one."
            ) from None
        except web.HTTPRequestEntityTooLarge:
            raise request_values.body_too_large(limit) from None
        except (web.RequestPayloadError, http_exceptions.BadHttpMessage):
            raise BadQuestion("body", "The request body does not match its Transfer-Encoding or length.") from None

    def finish(
        self, context: RequestContext, rendered: RenderedResponse, head: RequestHead, connection: HttpConnection
    ) -> bytes:
        """Finish a request of the fast path in metrics, log and trace, and return the serialized response."""
        context.status = rendered.status
        closes = connection.close_after_response_reason is not None or not head.keep_alive
        data = self._serializer.serialize(context, rendered, head, closes=closes)
        self._instrumentation.finish(context, head)
        return data

    def finish_failed(
        self, context: RequestContext, error: Exception, head: RequestHead, connection: HttpConnection
    ) -> bytes:
        """Finish a request of the fast path with an error."""
        if not isinstance(error, Overloaded):
            accept = head.headers.get(hdrs.ACCEPT, "")
            rendered = self._problem_renderer.render(to_problem(error), self._path, accept, head.target)
            return self.finish(context, rendered, head, connection)
        context.was_shed = True
        if connection.is_early:  # closing it now saves the event loop a transport, which costs more than the refusal
            connection.close_after_response_reason = CloseReason.SHED
        closes = connection.closes_after(head)
        data = self._serializer.serialize_shed(context, error, head, closes=closes)
        self._instrumentation.finish(context, head)
        return data

    def finish_cancelled(self, context: RequestContext, head: RequestHead, deadline: float | None) -> None:
        """Finish a request that was cancelled: its client has left, or the connection has sent a 504."""
        is_overdue = deadline is not None and monotonic() >= deadline
        context.status = HTTPStatus.GATEWAY_TIMEOUT if is_overdue else CLIENT_CLOSED_REQUEST
        if is_overdue:
            context.problem, context.detail = DeadlineExceeded.code, "There was no answer before the deadline."
        self._instrumentation.finish(context, head)


def _wants_stream(accept: str) -> bool:
    try:
        return negotiate_representation(accept) is Representation.STREAM
    except NotAcceptable:
        return False  # the parser of the question raises it again


class PendingAnswer:
    """A request of the fast path that waits for the answerer in a task of its own."""

    __slots__ = (
        *("_ask", "_ask_request", "_connection", "_context", "_execution", "_has_started", "_head", "_problem"),
        *("_task", "deadline"),
    )

    def __init__(
        self,
        ask: Ask,
        context: RequestContext,
        head: RequestHead,
        connection: HttpConnection,
        *,
        ask_request: AskRequest,
        execution: Execution,
    ) -> None:
        self._ask = ask
        self._context = context
        self._head = head
        self._connection = connection
        self._ask_request = ask_request
        self._execution = execution
        self._has_started = False
        self._problem: Problem | None = None
        self.deadline: float | None = ask_request.response_options.deadline
        """Deadline of the response (`time.monotonic`)."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self, problem: Problem | None) -> None:
        """Respond with the problem instead; None if the client has disconnected, or has got a 504."""
        self._problem = problem
        if not self._has_started and not self._task.done():  # a task that never started runs no clean-up
            self._execution.__exit__()
            if problem is not None:
                data = self._ask.finish_failed(self._context, problem, self._head, self._connection)
                self._connection.complete_pending(data, self._head)
            else:
                self._ask.finish_cancelled(self._context, self._head, self.deadline)
        self._task.cancel()

    async def _run(self) -> None:
        self._has_started = True
        ask, context, head, connection = self._ask, self._context, self._head, self._connection
        try:
            answer = await ask.wait_for_answer(context, self._execution)
            representation = self._ask_request.response_options.representation
            rendered = rendering.render_answer(self._execution, answer, representation, head.headers, safe_method=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._problem is None or task is None or connection.transport is None:
                ask.finish_cancelled(context, head, self.deadline)
                raise
            task.uncancel()
            connection.complete_pending(ask.finish_failed(context, self._problem, head, connection), head)
        except Exception as error:
            connection.complete_pending(ask.finish_failed(context, error, head, connection), head)
        else:
            connection.complete_pending(ask.finish(context, rendered, head, connection), head)
