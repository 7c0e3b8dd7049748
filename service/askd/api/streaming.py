"""Stream an answer as server-sent events while the answerer produces it."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import HttpVersion11, web

from askd.api import rendering
from askd.api.instrumentation import Instrumentation
from askd.api.problems import ProblemRenderer, to_problem
from askd.context import request_context_var
from askd.errors import DeadlineExceeded, Problem
from askd.httpserver.aiohttp_bridge import bridge_of
from askd.models import Answer, Question
from askd.pipeline import Execution

HEARTBEAT_INTERVAL: Final = 15.0
"""Seconds without an event after which a comment is sent: less than the idle timeout of common proxies (60 s)."""
STREAM_HEADERS: Final = {
    "Content-Type": rendering.EVENT_STREAM_TYPE,
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",
}

AnswerEvent = str | Answer
"""A delta, or the complete answer."""


class StreamTimeouts(NamedTuple):
    """Heartbeat interval and maximum time between two events, in seconds, and the deadline (`time.monotonic`)."""

    heartbeat_interval: float
    event_timeout: float = math.inf
    deadline: float = math.inf

    def next_event_deadline(self) -> float:
        """Return when the next event is due (`time.monotonic`) if the wait starts now."""
        return min(monotonic() + self.event_timeout, self.deadline)


async def with_heartbeats(
    events: AsyncIterator[AnswerEvent], timeouts: StreamTimeouts
) -> AsyncIterator[AnswerEvent | None]:
    """Yield the events, and None after each heartbeat interval without one.

    Closing the generator cancels the answerer. All of `events` is consumed in one task: timeouts, task groups and
    context variables that span a `yield` break if each event is fetched in a separate task.

    Raises:
        TimeoutError: The next event, or the end of the stream, is overdue.
    """
    queue: asyncio.Queue[AnswerEvent | _EndOfStream] = asyncio.Queue()
    producer = asyncio.create_task(_produce(events, queue))
    try:
        deadline = timeouts.next_event_deadline()
        while True:
            event: AnswerEvent | _EndOfStream | None = None
            seconds = min(timeouts.heartbeat_interval, deadline - monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.0)):
                    event = await queue.get()
            if isinstance(event, _EndOfStream):
                if event.error is not None:
                    raise event.error
                return
            if event is None and monotonic() >= deadline:
                raise TimeoutError
            yield event
            if event is not None:
                deadline = timeouts.next_event_deadline()
                queue.task_done()
    finally:
        if not producer.done():
            producer.cancel()
            await asyncio.wait({producer})


class _EndOfStream(NamedTuple):
    """Marks the end of the queue; `error` is set if the answerer failed."""

    error: Exception | None = None


async def _produce(events: AsyncIterator[AnswerEvent], queue: "asyncio.Queue[AnswerEvent | _EndOfStream]") -> None:
    """Queue the events one by one: the answerer continues only after the previous event was sent (backpressure)."""
    try:
        async with aclosing(events):  # type: ignore[type-var] # a generator
            async for event in events:
                queue.put_nowait(event)
                await queue.join()
        queue.put_nowait(_EndOfStream())
    except Exception as error:
        queue.put_nowait(_EndOfStream(error))


class EventEncoder(Protocol):
    """Encodes the events of one stream as server-sent events."""

    def encode(self, event: AnswerEvent) -> bytes:
        """Return the bytes for an event; they may be empty. Raises AnswererFailed if it cannot be serialized."""
        ...

    def encode_problem(self, error: Problem, members: Mapping[str, Any]) -> bytes:
        """Return the last bytes of a stream that failed; `members` are those of RFC 9457."""
        ...


class AskEventEncoder:
    """The events of `/ask`: `delta`, `answer` and `error`."""

    def encode(self, event: AnswerEvent) -> bytes:
        """Return a `delta` or an `answer` event."""
        if isinstance(event, str):
            return rendering.encode_sse_delta(event)
        return rendering.encode_sse_event("answer", rendering.encode_answer(event))

    def encode_problem(self, error: Problem, members: Mapping[str, Any]) -> bytes:
        """Return an `error` event."""
        return rendering.encode_sse_event("error", rendering.encode_json(members))


class StreamResponder:
    """Streams answers to clients.

    Args:
        instrumentation: Adds the headers that every response carries.
        problem_renderer: Renders failures after the response has started.
        heartbeat_interval: Seconds without an event after which a comment is sent.
    """

    def __init__(
        self,
        instrumentation: Instrumentation,
        problem_renderer: ProblemRenderer,
        *,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
    ) -> None:
        self._problem_renderer = problem_renderer
        self._instrumentation = instrumentation
        self._heartbeat_interval = heartbeat_interval

    async def respond(
        self, request: web.Request, execution: Execution, encoder: EventEncoder, *, event_timeout: float
    ) -> web.StreamResponse:
        """Stream one answer; `event_timeout` is the maximum number of seconds between two events.

        The response starts with the first event, so that a failure before it gets its own status code.
        """
        response = web.StreamResponse(headers=STREAM_HEADERS)
        if request.version < HttpVersion11:  # without chunks, only the end of the connection ends the response
            response.force_close()
        question = execution.question
        timeouts = StreamTimeouts(
            self._heartbeat_interval, event_timeout, math.inf if question.deadline is None else question.deadline
        )
        events = with_heartbeats(execution.stream(), timeouts)
        async with aclosing(events):  # type: ignore[type-var] # a generator
            try:
                first_chunk = _encode_event(encoder, await anext(events, None))
            except TimeoutError:
                raise deadline_exceeded(timeouts, question) from None
            if request.method == "HEAD":  # has called the code, so that it gets the status of GET
                return response
            self._instrumentation.finalize_response(request, response)
            await response.prepare(request)
            try:
                await response.write(first_chunk)
                async for event in events:
                    await response.write(_encode_event(encoder, event))
            except TimeoutError:
                await response.write(self._encode_problem(request, encoder, deadline_exceeded(timeouts, question)))
            except ConnectionError:
                # The client disconnected: closing the generator cancels the answerer.
                raise asyncio.CancelledError from None
            except asyncio.CancelledError:
                # During shutdown the client is still connected, so it gets a last event instead of a cut stream.
                task, bridge = asyncio.current_task(), bridge_of(request)
                if task is None or bridge is None or bridge.interruption is None:
                    raise
                task.uncancel()
                await response.write(self._encode_problem(request, encoder, bridge.interruption))
            except Exception as error:
                await response.write(self._encode_problem(request, encoder, to_problem(error)))
        return response

    def _encode_problem(self, request: web.Request, encoder: EventEncoder, error: Problem) -> bytes:
        """Render a failure after the headers were sent; the access log and metrics record its status, not 200."""
        context = request_context_var.get()
        if context is not None:
            context.status = error.status
        return encoder.encode_problem(error, self._problem_renderer.problem_details(error, request.rel_url.raw_path))


def deadline_exceeded(timeouts: StreamTimeouts, question: Question) -> DeadlineExceeded:
    """Return the error for a stream that reached its deadline, or whose next event is overdue."""
    total_timeout = timeouts.deadline - question.received_at
    is_past_deadline = monotonic() >= timeouts.deadline
    return DeadlineExceeded(round(total_timeout if is_past_deadline else timeouts.event_timeout, 3))


def _encode_event(encoder: EventEncoder, event: AnswerEvent | None) -> bytes:
    return b": heartbeat\n\n" if event is None else encoder.encode(event)
