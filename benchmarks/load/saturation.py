"""More questions than a server can answer: how many it can, and what it does with a multiple of them."""

from typing import Final

from .numbers import Sample
from .phase import Phase, Step
from .run import Run

CODES: Final = {
    "never": "async that never awaits",
    "often": "async that does",
    "sync": "sync, in a thread",
}
"""The functions of `served.py` that cost processor time, and what they are."""
COST: Final = 0.004
"""Seconds of processor time that a question costs."""
CONNECTIONS: Final = 400


async def capacity(run: Run, port: int) -> float:
    """Answers a second to clients that wait for them: a closed loop over 4 connections."""
    warm, counts = (Step(seconds=run.plan.seconds(each, 1.5)) for each in (3, 6))
    return (await run.shoot(Phase(port=port, connections=4, steps=[warm, counts], patience=5)))[1].goodput


async def offer(run: Run, port: int, rate: float, *after: Step) -> list[Sample]:
    """Offer so many questions a second: a warm-up, then what counts, then further steps; a sample for each."""
    warm, counts = (Step(seconds=run.plan.seconds(*each), rate=rate) for each in ((30, 2), (10, 3)))
    return await run.shoot(Phase(port=port, connections=CONNECTIONS, steps=[warm, counts, *after]))
