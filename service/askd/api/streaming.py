"""Streams: an answer as server-sent events, while it is made."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Final, NamedTuple

from aiohttp import web

from service.errors import DeadlineExceeded, Problem
from service.models import Answer, Question
from service.telemetry.exchange import CURRENT
from service.turn import Turn
from service.web import render
from service.web.failures import Failures, known

HEARTBEAT: Final = 15.0
"""Seconds after which a comment is sent when no event was: below the idle time-outs of common proxies (60 s)."""
HEADERS: Final = {
    "Content-Type": render.STREAM_TYPE,
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",
}

Event = str | Answer
Dress = Callable[[web.Request, web.StreamResponse], None]


class Pace(NamedTuple):
    """How long a stream may take, in seconds: from event to event, and until when at all (`time.monotonic`).

    A comment is sent `every` so many seconds in which there was no event.
    """

    every: float
    between: float = math.inf
    until: float = math.inf

    def due(self) -> float:
        """Return when the next event must be there, if it is waited for from now on."""
        return min(monotonic() + self.between, self.until)


async def with_pauses(events: AsyncIterator[Event], pace: Pace) -> AsyncIterator[Event | None]:
    """Yield the events, and None where none came for a while. Closing it stops the code at once.

    Raises TimeoutError where the next event, or the end, does not come in its time.

    The code runs in one task from its start to its end: time-outs, task groups and context variables that span a
    `yield` break where each event is fetched by a task of its own.
    """
    found: asyncio.Queue[Event | _End] = asyncio.Queue()
    wanted = asyncio.Semaphore(0)
    pump = asyncio.create_task(_pump(events, found, wanted))
    try:
        due = pace.due()
        while True:
            event = await _within(min(pace.every, due - monotonic()), found)
            if isinstance(event, _End):
                if event.error is not None:
                    raise event.error
                return
            if event is None and monotonic() >= due:
                raise TimeoutError
            yield event
            if event is not None:
                due = pace.due()
                wanted.release()
    finally:
        pump.cancel()
        await asyncio.wait({pump})


class _End(NamedTuple):
    """What comes after the last event."""

    error: Exception | None = None


async def _pump(events: AsyncIterator[Event], found: "asyncio.Queue[Event | _End]", wanted: asyncio.Semaphore) -> None:
    """Hand events on one by one; the code is not asked for the next before the last has been sent."""
    try:
        async with aclosing(events):  # type: ignore[type-var] # a generator
            async for event in events:
                found.put_nowait(event)
                await wanted.acquire()
        found.put_nowait(_End())
    except Exception as error:
        found.put_nowait(_End(error))


async def _within(seconds: float, found: "asyncio.Queue[Event | _End]") -> Event | _End | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0.0)):
            return await found.get()
    return None


class Streams:
    """Streams answers to clients. `dress` puts on the headers that every response has; `heartbeat` is in seconds."""

    def __init__(self, failures: Failures, *, dress: Dress, heartbeat: float = HEARTBEAT) -> None:
        self._failures = failures
        self._dress = dress
        self._heartbeat = heartbeat

    async def respond(self, request: web.Request, turn: Turn, *, between: float) -> web.StreamResponse:
        """Stream one answer, an event in `between` seconds at least.

        The status waits for the first event, so that a failure before it has its own status.
        """
        response = web.StreamResponse(headers=HEADERS)
        if request.method == "HEAD":
            return response
        question = turn.question
        pace = Pace(self._heartbeat, between, math.inf if question.deadline is None else question.deadline)
        events = with_pauses(turn.stream(), pace)
        async with aclosing(events):  # type: ignore[type-var] # a generator
            try:
                first = _encode(await anext(events, None))
            except TimeoutError:
                raise late(pace, question) from None
            self._dress(request, response)
            await response.prepare(request)
            try:
                await response.write(first)
                async for event in events:
                    await response.write(_encode(event))
            except TimeoutError:
                await response.write(self._failed(request, late(pace, question)))
            except ConnectionError:
                raise asyncio.CancelledError from None  # the client left: the code is stopped with the generator
            except asyncio.CancelledError:
                task, ending = asyncio.current_task(), self._failures.ending
                if ending is None or task is None:
                    raise
                task.uncancel()
                await response.write(self._failed(request, ending))
            except Exception as error:
                await response.write(self._failed(request, known(error)))
        return response

    def _failed(self, request: web.Request, error: Problem) -> bytes:
        """Render a failure after the headers are out; logs and metrics get its true status."""
        exchange = CURRENT.get()
        if exchange is not None:
            exchange.status = error.status
        return render.event("error", render.encode(self._failures.problem(error, request.rel_url.raw_path)))


def late(pace: Pace, question: Question) -> DeadlineExceeded:
    """Return the error for a stream that came to no end, or for an event that did not come."""
    whole = pace.until - question.arrived
    return DeadlineExceeded(round(whole if monotonic() >= pace.until else pace.between, 3))


def _encode(event: Event | None) -> bytes:
    if event is None:
        return b": still here\n\n"
    return render.delta(event) if isinstance(event, str) else render.event("answer", render.members(event))
