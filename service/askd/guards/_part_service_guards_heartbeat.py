"""The heartbeat: how the main loop shows that it moves, and asks the code whether it is ready."""

import asyncio
from collections.abc import Awaitable, Callable

from service.guards.health import Health

BEAT = 0.25
"""Seconds between beats: fine enough to see a stall of half a second, coarse enough to cost nothing."""
READY_EVERY = 1.0
"""Seconds between two questions to the code's ready hook, and the longest that one may take."""


async def beat(health: Health, observe_lag: Callable[[float], None]) -> None:
    """Beat until cancelled; tells `observe_lag` how many seconds later than asked for each wake-up came."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + BEAT
        await asyncio.sleep(BEAT)
        observe_lag(max(loop.time() - due, 0.0))
        health.beat()


async def watch_ready(health: Health, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Ask `ready` every second until cancelled."""
    while True:
        await ask_ready(health, ready)
        await asyncio.sleep(READY_EVERY)


async def ask_ready(health: Health, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Ask `ready` once; one that raises or hangs counts as not ready."""
    try:
        async with asyncio.timeout(READY_EVERY):
            ok, detail = await ready()
    except TimeoutError:
        ok, detail = False, f"its ready hook took longer than {READY_EVERY:g}s"
    except Exception as error:
        ok, detail = False, f"its ready hook raised {type(error).__name__}"
    health.code_ready(ok=ok, detail=detail)
