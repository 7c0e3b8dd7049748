"""One run of the suite: the plan, and the watch on the ops endpoints of every server that a scenario starts."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from .load import shoot
from .numbers import Sample
from .phase import Phase, Step
from .plan import Plan
from .report import Section
from .server import SERVED, Askd, running
from .watch import Watch


class Run:
    """What a scenario works with."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.watch = Watch()

    @contextlib.asynccontextmanager
    async def askd(self, code: str, **variables: str) -> AsyncIterator[Askd]:
        """Serve a function of `served.py`, with its ops endpoints watched, until the block ends."""
        async with self.askd_of(f"{SERVED}:{code}", **variables) as askd:
            yield askd

    @contextlib.asynccontextmanager
    async def askd_of(self, spec: str, **variables: str) -> AsyncIterator[Askd]:
        """Serve whatever askd can."""
        async with running(self.plan, "serve", spec, python_path=None, **variables) as askd, self.watch.on(askd):
            yield askd

    async def closed(self, port: int, *, connections: int, seconds: float, **more: Any) -> Sample:
        """Ask in a closed loop for so long. `more` are further fields of the phase."""
        return (
            await shoot(self.plan, Phase(port=port, connections=connections, steps=[Step(seconds=seconds)], **more))
        )[0]

    async def open(self, port: int, *, rate: float, seconds: float, connections: int, **more: Any) -> Sample:
        """Offer so many questions a second for so long."""
        step = Step(seconds=seconds, rate=rate)
        return (await shoot(self.plan, Phase(port=port, connections=connections, steps=[step], **more)))[0]

    async def shoot(self, phase: Phase) -> list[Sample]:
        """Make one phase's load."""
        return await shoot(self.plan, phase)


Scenario = Callable[[Run], Awaitable[Section]]
"""Raises Skipped where it cannot run here."""


class Skipped(Exception):
    """A scenario cannot run here; the message says what it needs."""
