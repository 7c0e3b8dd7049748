"""The end of a server: what is in flight gets its time, and what outlasts it a 503 rather than a broken connection.

aiohttp's own cleanup would cancel what is left without a word, after twice its time-out at the worst.
"""

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import structlog

from service.telemetry.output import output
from service.telemetry.tracing import Tracing
from service.web.exchanges import Exchanges
from service.web.observe import Observer
from service.web.runner import Runner

LINGER: Final = 0.1
"""Seconds for which idle connections stay open when all is answered: a request that is on its way is still met."""
FAREWELL: Final = 1.0
"""Seconds for what was ended to send its 503; code that swallows its cancellation is not waited for any longer."""

_log = structlog.get_logger("askd")


class Listening(NamedTuple):
    """What is accepted from, and how: `tls` None is HTTP."""

    listeners: Sequence[socket.socket]
    tls: ssl.SSLContext | None = None


async def finish(
    runner: Runner, observer: Observer, exchanges: Exchanges, listening: Listening, *, longest: float
) -> int:
    """Close the listeners, and wait `longest` seconds for what is in flight; return how many had to be ended."""
    await _close(runner, listening)
    await asyncio.sleep(0)  # what came before that is let begin
    if not await observer.idle(longest):
        ended = observer.in_flight
        _log.warning("ended at the drain time-out", exchanges=ended, seconds=longest)
        exchanges.end()
        runner.interrupt()
        await observer.idle(FAREWELL)
        return ended
    if runner.open:
        await asyncio.sleep(LINGER)
        await observer.idle(longest)
    return 0


async def _close(runner: Runner, listening: Listening) -> None:
    """Stop listening, and serve the connections that wait in the queue: to their clients they are accepted already."""
    waiting = [connection for listener in listening.listeners for connection in _accepted(listener)]
    for site in list(runner.sites):
        await site.stop()
    server, loop = runner.server, asyncio.get_running_loop()
    for connection in waiting:
        with contextlib.suppress(OSError):  # it has left
            await loop.connect_accepted_socket(lambda: server(), connection, ssl=listening.tls)  # type: ignore[misc] # noqa: PLW0108 - there is one as long as there are sites


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(OSError):  # BlockingIOError: there is none
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection


async def close_executor(seconds: float) -> None:
    """End the loop's own threads, as asyncio does at its end, but within so many seconds."""
    closing = asyncio.create_task(asyncio.get_running_loop().shutdown_default_executor())
    await asyncio.wait({closing}, timeout=seconds)


async def flush(traces: Tracing | None, seconds: float) -> None:
    """Send what is left of traces, write what is left of the log, and end the loop's own threads meanwhile.

    `traces` None: there are none.
    """
    sent = within(traces.close, seconds) if traces else asyncio.sleep(0, result=True)
    written = within(lambda: output.close(seconds), seconds + FAREWELL)  # it keeps its time by itself
    _, in_time, _ = await asyncio.gather(close_executor(seconds), sent, written)
    if not in_time:
        _log.warning("traces were left unsent", seconds=seconds)


async def within(work: Callable[[], object], seconds: float) -> bool:
    """Do work that blocks in a thread of its own, which keeps nothing from ending; False: it took longer than that."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            work()
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="askd-flush", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()
    return done.is_set()


def left_over(seconds: float) -> list[str]:
    """Wait so many seconds for threads that would keep the process from ending; return the names of those left."""
    until = time.monotonic() + seconds
    threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    return [thread.name for thread in threads if thread.is_alive() and not sys.is_finalizing()]
