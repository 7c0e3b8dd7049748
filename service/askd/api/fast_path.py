"""Fast path: `GET` and `HEAD` of `/ask`, answered as soon as the bytes of the request arrive.

In Python, a task, a request object, routing and a response object cost as much as the rest of a request. Requests that
need no waiting (an immediate answer, a 304, an error) need none of them here. Requests that call the answerer get a
task, and nothing else. Admission, parsing, the pipeline, rendering and instrumentation are shared with the aiohttp
handlers, which serve everything else: request bodies, streams, HTML pages, HTTP/1.0, `Expect`, and rate limits that
are checked over the network.
"""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Final

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_parser import RawRequestMessage

from askd.api import rendering
from askd.api.auth import AdmissionControl
from askd.api.instrumentation import Instrumentation
from askd.api.middleware import CLIENT_CLOSED_REQUEST
from askd.api.problems import ProblemRenderer, to_problem
from askd.api.question import AskRequest, Headers, QuestionParser
from askd.api.response_cache import ResponseCache
from askd.api.shed_responses import ShedResponses
from askd.context import RequestContext, format_server_timing, request_context_var
from askd.errors import DeadlineExceeded, Overloaded, Problem
from askd.guards.concurrency import Permit, jittered_retry_after
from askd.httpserver import messages, templates
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.fast_path_connection import FastPathConnection
from askd.httpserver.messages import RenderedResponse
from askd.httpserver.negotiation import STREAM
from askd.pipeline import Execution, Pipeline
from askd.telemetry.tracing import SamplingDecision

MAX_HEADERS_TEMPLATES: Final = 64
"""Number of headers templates that are kept."""
_ROUTE: Final = "/ask"
_METHODS: Final = frozenset({"GET", "HEAD"})


class PendingRequest:
    """A fast path request that waits for the answerer in a separate task."""

    __slots__ = (
        "_ask_request",
        "_connection",
        "_context",
        "_execution",
        "_fast_path",
        "_has_started",
        "_message",
        "_task",
        "deadline",
    )

    def __init__(
        self,
        fast_path: "FastPath",
        context: RequestContext,
        *,
        message: RawRequestMessage,
        connection: FastPathConnection,
        ask_request: AskRequest,
        execution: Execution,
    ) -> None:
        self._fast_path = fast_path
        self._context = context
        self._message = message
        self._connection = connection
        self._ask_request = ask_request
        self._execution = execution
        self._has_started = False
        self.deadline: float | None = ask_request.response_options.deadline
        """Deadline of the response (`time.monotonic`)."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Cancel the request because the client disconnected or the server shuts down."""
        if not self._has_started and not self._task.done():  # a task that never started runs no clean-up
            self._execution.__exit__()
            self._finish_cancelled()
        self._task.cancel()

    async def _run(self) -> None:
        self._has_started = True
        try:
            rendered = await self._answer()
        except asyncio.CancelledError:
            shutdown_error, task = self._fast_path.problem_renderer.shutdown_error, asyncio.current_task()
            if shutdown_error is None or task is None or self._connection.transport is None:
                self._finish_cancelled()
                raise
            task.uncancel()
            rendered = self._fast_path.render_error(self._message, shutdown_error)
        data = self._fast_path.finish(self._context, rendered, self._message, self._connection)
        self._connection.complete_pending_request(data, self._message)

    async def _answer(self) -> RenderedResponse:
        execution, message = self._execution, self._message
        try:
            with execution:
                try:
                    answer = await execution.answer()
                except Problem as error:
                    error.headers = {**error.headers, **rendering.cache_status_headers(execution)}
                    raise
            self._context.leader_id = execution.leader_id or ""
            representation = self._ask_request.response_options.representation
            return rendering.render_answer(execution, answer, representation, message.headers, safe_method=True)
        except Exception as error:
            self._context.was_shed = isinstance(error, Overloaded)
            return self._fast_path.render_error(message, error)

    def _finish_cancelled(self) -> None:
        # After the deadline, the connection has already sent a 504.
        is_overdue = self.deadline is not None and monotonic() >= self.deadline
        self._context.status = HTTPStatus.GATEWAY_TIMEOUT if is_overdue else CLIENT_CLOSED_REQUEST
        if is_overdue:
            self._context.problem = DeadlineExceeded.code
            self._context.detail = "There was no answer before the deadline."
        self._fast_path.instrumentation.finish_request(self._context, quiet=False)


class FastPath:
    """The fast path handler: answers questions at `path`, or falls back to aiohttp."""

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
    ) -> None:
        self._path = path
        self._path_with_query = path + "?"
        self._question_parser = question_parser
        self._pipeline = pipeline
        self._admission = admission
        self._client_resolver = client_resolver
        self.instrumentation = instrumentation
        self.problem_renderer = problem_renderer
        self._shed_responses = ShedResponses(problem_renderer, instrumentation, path)
        self._response_cache = ResponseCache(pipeline, instrumentation, client_resolver)
        self._cached_responses = self._response_cache.entries
        self._headers_templates: dict[tuple[int, tuple[str, ...]], templates.HeadersTemplate] = {}
        self._checks_cache_first = admission.is_noop and instrumentation.is_context_optional

    def __call__(self, message: RawRequestMessage, connection: FastPathConnection) -> bytes | PendingRequest | None:
        """Return the response, or the pending request; None falls back to aiohttp."""
        sampled = self.instrumentation.decide_sampling(message.method, message.headers)
        if self._cached_responses and self._checks_cache_first:
            data = self._response_cache.serve(message, connection, sampled)
            if data is not None:
                return data
        target = message.path
        if not (target.startswith(self._path_with_query) or target == self._path) or message.method not in _METHODS:
            return None
        headers = message.headers
        if message.version != HttpVersion11 or hdrs.EXPECT in headers or self._admission.is_async:
            return None
        if STREAM in headers.get(hdrs.ACCEPT, ""):
            return None
        client = self._client_resolver.resolve(connection.peer_address, headers)
        permit = None
        if self._pipeline.can_admit_before_parsing and self._admission.is_noop:  # no check comes before the limiter
            permit = self._pipeline.limiter.admit(connection.arrived_at)
            if permit is None:
                return self._shed(message, connection, client, sampled)
        context = self._begin_request(message, connection, client, sampled)
        try:
            return self._admit_and_handle(context, message, connection, permit)
        finally:
            request_context_var.set(None)  # the next request on this connection runs in the same contextvars context

    def _begin_request(
        self, message: RawRequestMessage, connection: FastPathConnection, client: str, sampled: SamplingDecision | None
    ) -> RequestContext:
        return self.instrumentation.begin_request(
            message.method,
            _ROUTE,
            message.headers,
            client,
            connection.arrived_at,
            target=message.path,
            sampled=sampled,
        )

    def _shed(
        self, message: RawRequestMessage, connection: FastPathConnection, client: str, sampled: SamplingDecision | None
    ) -> bytes:
        """Shed a request, without creating its request context if possible."""
        close_connection = connection.should_close_after(message)
        data = None
        if sampled is None:
            data = self._shed_responses.try_respond_without_context(
                message, connection.arrived_at, client, close_connection=close_connection
            )
        if data is None:
            context = self._begin_request(message, connection, client, sampled)
            try:
                data = self._shed_responses.respond(
                    context, Overloaded(jittered_retry_after()), message, close_connection=close_connection
                )
            finally:
                request_context_var.set(None)
        return data

    def _admit_and_handle(
        self,
        context: RequestContext,
        message: RawRequestMessage,
        connection: FastPathConnection,
        permit: Permit | None,
    ) -> bytes | PendingRequest:
        try:
            self._admission.check(message.headers, context)
            return self._handle(context, message, connection, permit)
        except Overloaded as error:
            return self._shed_responses.respond(
                context, error, message, close_connection=connection.should_close_after(message)
            )
        except Exception as error:
            return self.finish(context, self.render_error(message, error), message, connection)

    def _handle(
        self,
        context: RequestContext,
        message: RawRequestMessage,
        connection: FastPathConnection,
        permit: Permit | None,
    ) -> bytes | PendingRequest:
        """Answer from the response cache, else with an immediate answer, else call the answerer."""
        uses_response_cache = (
            context.rate_limit_headers is None
            and not self.instrumentation.cors_enabled
            and not connection.should_close_after(message)
        )
        if uses_response_cache and not self._checks_cache_first:  # otherwise `__call__` has already checked the cache
            data = self._response_cache.lookup(message, context)
            if data is not None:
                self.instrumentation.finish_request(context, quiet=False)
                return data
        execution, ask_request = self._start_execution(context, message.headers, message.path, permit)
        if execution.immediate is None:
            return PendingRequest(
                self,
                context,
                message=message,
                connection=connection,
                ask_request=ask_request,
                execution=execution,
            )
        representation = ask_request.response_options.representation
        rendered = rendering.render_answer(
            execution, execution.immediate, representation, message.headers, safe_method=True
        )
        data = self.finish(context, rendered, message, connection)
        if uses_response_cache:
            self._response_cache.store(message, execution, context, data)
        return data

    def _start_execution(
        self, context: RequestContext, headers: Headers, target: str, permit: Permit | None
    ) -> tuple[Execution, AskRequest]:
        """Parse the question and begin its execution.

        If no answer can be immediate, the permit is acquired first: under overload, parsing would be wasted work.
        """
        pipeline = self._pipeline
        if permit is None and pipeline.can_admit_before_parsing:
            permit = pipeline.dependencies.admit(context.arrived_at)
        try:
            ask_request = self._question_parser.parse_get(context, headers, target)
            return pipeline.begin(ask_request.question, ask_request.cache_directives, permit=permit), ask_request
        except BaseException:
            if permit is not None:
                permit.release()
            raise

    def render_error(self, message: RawRequestMessage, error: Exception) -> RenderedResponse:
        """Render the error response to a request."""
        return self.problem_renderer.render(to_problem(error), self._path, message.headers.get(hdrs.ACCEPT, ""))

    def finish(
        self,
        context: RequestContext,
        rendered: RenderedResponse,
        message: RawRequestMessage,
        connection: FastPathConnection,
    ) -> bytes:
        """Finish a request in metrics, log and trace, and return the serialized response."""
        context.status = rendered.status
        is_head, should_close = message.method == "HEAD", connection.should_close_after(message)
        if (
            is_head
            or should_close
            or context.rate_limit_headers is not None
            or rendered.has_unique_headers
            or self.instrumentation.cors_enabled
        ):
            self.instrumentation.add_headers(message.headers, rendered.headers)
            data = messages.serialize_response(rendered, omit_body=is_head, close_connection=should_close)
        else:
            data = self._serialize_with_template(context, rendered)
        self.instrumentation.finish_request(context, quiet=False)
        return data

    def _serialize_with_template(self, context: RequestContext, rendered: RenderedResponse) -> bytes:
        """Serialize with the template for these headers, creating it on first use."""
        key = rendered.status, tuple(rendered.headers.values())
        template = self._headers_templates.get(key)
        if template is not None:
            return template.render(context.request_id, format_server_timing(context, monotonic()), rendered.body)
        self.instrumentation.add_headers({}, rendered.headers)
        data = messages.serialize_response(rendered, omit_body=False, close_connection=False)
        if len(self._headers_templates) < MAX_HEADERS_TEMPLATES:
            self._headers_templates[key] = templates.make_headers_template(data)
        return data
