"""The life of a request to `/ask`, for every way in: `GET`, `POST` and streams.

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
from typing import Final

from aiohttp import HttpVersion11, hdrs, http_exceptions, web

from askd.api import rendering, request_values
from askd.api.admission import AdmissionControl
from askd.api.instrumentation import Instrumentation
from askd.api.middleware import CLIENT_CLOSED_REQUEST
from askd.api.problems import ProblemRenderer, to_problem
from askd.api.question_parser import AskRequest, Headers, QuestionParser
from askd.api.response_cache import ResponseCache, response_cache_key
from askd.api.response_serializer import ResponseSerializer
from askd.api.streaming import StreamResponder
from askd.context import RequestContext, get_request_context, request_context_var
from askd.errors import BadQuestion, DeadlineExceeded, NotAcceptable, Overloaded, Problem, RequestTimeout
from askd.httpserver.aiohttp_bridge import bridge_of
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.connections import CloseReason
from askd.httpserver.negotiation import Representation, negotiate_representation
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.responses import RenderedResponse
from askd.pipeline import Execution, Pipeline

_ROUTE: Final = "/ask"
_METHODS: Final = frozenset({"GET", "HEAD"})


class Ask:
    """Serves `/ask`.

    Args:
        path: Path with the prefix of the server.
        question_parser: Parses requests.
        pipeline: Answers questions.
        admission: Tokens and rate limits.
        client_resolver: Resolves client addresses behind proxies.
        instrumentation: Counts, logs and traces requests.
        problem_renderer: Renders errors.
        stream_responder: Sends streams.
    """

    def __init__(
        self,
        path: str,
        *,
        question_parser: QuestionParser,
        pipeline: Pipeline,
        admission: AdmissionControl,
        client_resolver: ClientAddressResolver,
        instrumentation: Instrumentation,
        problem_renderer: ProblemRenderer,
        stream_responder: StreamResponder,
    ) -> None:
        self._path = path
        self._path_with_query = path + "?"
        self._question_parser = question_parser
        self._pipeline = pipeline
        self._admission = admission
        self._client_resolver = client_resolver
        self._instrumentation = instrumentation
        self._problem_renderer = problem_renderer
        self._stream_responder = stream_responder
        self._cors_enabled = instrumentation.cors_enabled
        self._skips_admission = admission.is_noop
        self._serializer = ResponseSerializer(instrumentation, problem_renderer, path)
        self._response_cache = ResponseCache(pipeline)

    def __call__(self, head: RequestHead, connection: HttpConnection) -> "bytes | PendingAnswer | None":
        """Return the response, or the pending answer; None leaves the request to aiohttp."""
        key = head.fast_path_key  # None: not seen before; empty: not for the fast path
        if key is None:
            key = head.fast_path_key = response_cache_key(head) if self._is_for_fast_path(head) else ""
        if not key:
            return None
        client = connection.peer_address
        if self._client_resolver.trusts_proxies:
            client = self._client_resolver.resolve(client, head.headers)
        context = self._instrumentation.begin(head, _ROUTE, client, connection.arrived_at)
        may_reuse = not self._cors_enabled and head.keep_alive and connection.close_after_response_reason is None
        if may_reuse and self._skips_admission and (data := self._response_cache.get(head, context)) is not None:
            self._instrumentation.finish(context, head)
            return data
        request_context_var.set(context)  # not before the response cache: setting it costs a tenth of a cache hit
        try:
            return self._handle(context, head, connection, may_reuse=may_reuse)
        except Exception as error:
            return self.finish_failed(context, error, head, connection)
        finally:
            request_context_var.set(None)  # the next request on this connection runs in the same context

    def _handle(
        self, context: RequestContext, head: RequestHead, connection: HttpConnection, *, may_reuse: bool
    ) -> "bytes | PendingAnswer":
        """Run the steps from admission on."""
        if not self._skips_admission:
            self._admission.check(head.headers, context)
            may_reuse = may_reuse and context.rate_limit_headers is None
            if may_reuse and (data := self._response_cache.get(head, context)) is not None:
                self._instrumentation.finish(context, head)
                return data
        execution, ask_request = self._begin(context, head)
        if execution.immediate is None:
            return PendingAnswer(self, context, head, connection, ask_request=ask_request, execution=execution)
        representation = ask_request.response_options.representation
        rendered = rendering.render_answer(
            execution, execution.immediate, representation, head.headers, safe_method=True
        )
        data = self.finish(context, rendered, head, connection)
        if may_reuse:
            self._response_cache.put(head, execution, context, data)
        return data

    def _is_for_fast_path(self, head: RequestHead) -> bool:
        target, headers = head.target, head.headers
        return (
            (target.startswith(self._path_with_query) or target == self._path)
            and head.method in _METHODS
            and head.version == "1.1"
            and not self._admission.is_async
            and hdrs.EXPECT not in headers
            and not _wants_stream(headers.get(hdrs.ACCEPT, ""))
        )

    def _begin(self, context: RequestContext, head: RequestHead) -> tuple[Execution, AskRequest]:
        """Parse the question and begin its execution.

        If no answer can be immediate, the permit is acquired first: under overload, parsing would be wasted work.
        """
        pipeline = self._pipeline
        permit = pipeline.admit(context.arrived_at) if pipeline.can_admit_before_parsing else None
        try:
            ask_request = self._question_parser.parse_get(context, head.headers, head.target)
            self._instrumentation.start_trace(context, head)
            return pipeline.begin(ask_request.question, ask_request.cache_directives, permit=permit), ask_request
        except BaseException:
            if permit is not None:
                permit.release()
            raise

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /ask?q=…`, handled by aiohttp."""
        context = get_request_context()
        return await self._respond(
            request, context, self._question_parser.parse_get(context, request.headers, request.raw_path)
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /ask` with JSON or a form."""
        context, headers = get_request_context(), request.headers
        options = self._question_parser.parse_response_options(context, headers)
        media_type = request_values.parse_media_type(headers.get(hdrs.CONTENT_TYPE))
        body = await self._read_body(request)
        ask_request = self._question_parser.parse_post(context, headers, options, media_type, body)
        return await self._respond(request, context, ask_request)

    async def _respond(
        self, request: web.Request, context: RequestContext, ask_request: AskRequest
    ) -> web.StreamResponse:
        options, bridge = ask_request.response_options, bridge_of(request)
        if bridge is not None:
            bridge.connection.deadline = options.deadline
        execution = self._pipeline.begin(ask_request.question, ask_request.cache_directives)
        if options.representation is Representation.STREAM:
            with execution:
                return await self._stream_responder.respond(request, execution, event_timeout=options.event_timeout)
        rendered = await self.answer(
            context,
            execution,
            options.representation,
            request.headers,
            safe_method=request.method != "POST",
        )
        return rendered.to_aiohttp()

    async def answer(
        self,
        context: RequestContext,
        execution: Execution,
        representation: Representation,
        headers: Headers,
        *,
        safe_method: bool,
    ) -> RenderedResponse:
        """Wait for the answer, and render it. Raises a Problem, or what rendering raises."""
        with execution:
            try:
                answer = execution.immediate or await execution.answer()
            except Problem as error:
                error.headers = {**error.headers, **rendering.cache_status_headers(execution)}
                raise
            finally:
                context.leader_id = execution.leader_id or ""
        return rendering.render_answer(execution, answer, representation, headers, safe_method=safe_method)

    async def _read_body(self, request: web.Request) -> bytes:
        """Read the body, but not beyond its size limit. Raises BodyTooLarge, BadQuestion, RequestTimeout."""
        limit, bridge = self._question_parser.limits.max_body_size, bridge_of(request)
        if (request.content_length or 0) > limit:
            raise request_values.body_too_large(limit)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11 and bridge is not None:
            bridge.write_continue()
        timeout = self._question_parser.limits.body_timeout
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(timeout):
                return await request.read()
        except TimeoutError:
            if bridge is not None:
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
        data = self._serializer.serialize(context, rendered, head, closes=connection.closes_after(head))
        self._instrumentation.finish(context, head)
        return data

    def finish_failed(
        self, context: RequestContext, error: Exception, head: RequestHead, connection: HttpConnection
    ) -> bytes:
        """Finish a request of the fast path with an error."""
        if not isinstance(error, Overloaded):
            rendered = self._problem_renderer.render(to_problem(error), self._path, head.headers.get(hdrs.ACCEPT, ""))
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
        return bool(accept) and negotiate_representation(accept) is Representation.STREAM
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
                self._complete(self._ask.finish_failed(self._context, problem, self._head, self._connection))
            else:
                self._ask.finish_cancelled(self._context, self._head, self.deadline)
        self._task.cancel()

    async def _run(self) -> None:
        self._has_started = True
        ask, context, head, connection = self._ask, self._context, self._head, self._connection
        try:
            representation = self._ask_request.response_options.representation
            rendered = await ask.answer(context, self._execution, representation, head.headers, safe_method=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._problem is None or task is None or connection.transport is None:
                ask.finish_cancelled(context, head, self.deadline)
                raise
            task.uncancel()
            self._complete(ask.finish_failed(context, self._problem, head, connection))
        except Exception as error:
            self._complete(ask.finish_failed(context, error, head, connection))
        else:
            self._complete(ask.finish(context, rendered, head, connection))

    def _complete(self, data: bytes) -> None:
        self._connection.complete_pending(data, self._head)
