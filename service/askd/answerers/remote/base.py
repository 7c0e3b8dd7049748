"""`Remote`: what every answerer in another process has: it is looked up, perhaps later, and then it is ready."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from service.answerers.remote import faults
from service.answerers.remote.address import Address
from service.answerers.remote.upstream import Upstream
from service.errors import LoadError, Problem, UpstreamFailed
from service.guards.circuit import State
from service.models import Answerer, Progress, Statistics

LOOK: Final = 10.0
"""Seconds for a look at the server: what it answers then costs it nothing."""
QUICK: Final = 0.5
"""Seconds: a look in vain that took longer is not waited for by the next questions, only made on account of them."""

_log = structlog.get_logger("askd.upstream")


class Remote(Answerer):
    """Looks its server up in `load`, or later.

    One that is down at first does not end the start: it is looked for again at each question and, aside, as often as
    readiness is asked for. Until it is found, readiness fails and questions are answered with 503.

    Once found, readiness stays: a server that is down fails at every replica, and nothing would be gained by taking all
    of them away. `needed` True: readiness fails while the circuit is not closed, and as no questions come then, a look
    is what closes it again.
    """

    def __init__(self, address: Address, upstream: Upstream, *, needed: bool = False) -> None:
        self.address = address
        self.upstream = upstream
        self.found = False
        self._needed = needed
        self._trouble = "not asked yet"
        self._took = 0.0
        self._fault: Problem | LoadError | None = None
        self._look: asyncio.Task[Problem | LoadError | None] | None = None

    async def find(self) -> None:
        """Look at the server once. Raises LoadError where it will never do, any other Problem where it may yet."""
        raise NotImplementedError

    async def load(self, progress: Progress) -> None:
        """Open the session and look. Raises LoadError: no such assistant, no such server, no key."""
        progress("asking the server that answers")
        self.upstream.open()
        fault = await asyncio.shield(self._looking())
        if isinstance(fault, LoadError):
            raise fault

    async def close(self) -> None:
        """Close the connections."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look})
        await self.upstream.close()

    def warnings(self) -> Sequence[str]:
        """Say that the server was not there."""
        return () if self.found else (f"{self.upstream.base} does not answer as it should yet: {self._trouble}",)

    async def ready(self) -> tuple[bool, str]:
        """Return whether the server was found, and how the last question fared. Starts a look, and does not wait."""
        if not self.found:
            self._looking()
            return False, self._trouble
        circuit = self.upstream.circuit
        if circuit.state is State.CLOSED:
            return True, self.upstream.trouble
        due = f"in {circuit.wait:.1f}s" if circuit.state is State.OPEN else "now"
        detail = f"circuit open, next trial {due}: {self.upstream.trouble}"
        if self._needed and circuit.state is State.HALF_OPEN and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._try())
        return not self._needed, detail

    def statistics(self) -> Statistics:
        """Return what became of the requests, and the circuit's state."""
        found = self.upstream.circuit.statistics()
        requests = dict(succeeded=found.succeeded, failed=found.failed, left=found.left, refused=found.refused)
        return Statistics(circuit=found.state, circuit_openings=found.openings, requests=requests)

    async def reached(self) -> None:
        """Return once the server is known. Raises Unavailable, and UpstreamFailed where it will never do."""
        if self.found:
            return
        look = self._looking()
        fault = self._fault if self._fault and self._took > QUICK else await asyncio.shield(look)
        if isinstance(fault, LoadError):
            raise UpstreamFailed("The server that answers is not set up for this one. The log says why.") from fault
        if fault is not None:
            raise faults.again(fault)

    def _looking(self) -> "asyncio.Task[Problem | LoadError | None]":
        """Return the one look that all share; whoever leaves must not take it from the others."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._find())
        return self._look

    async def _try(self) -> Problem | LoadError | None:
        """Look, as the trial that closes the circuit, unless a question is that."""
        if (attempt := self.upstream.circuit.enter()) is None:
            return None
        try:
            fault = await self._find()
            (attempt.failed if isinstance(fault, Problem) else attempt.succeeded)()
        finally:
            attempt.left()  # where it was cancelled
        return fault

    async def _find(self) -> Problem | LoadError | None:
        began = time.monotonic()
        try:
            await self.find()
        except (Problem, LoadError) as fault:
            said = fault.detail if isinstance(fault, Problem) else "not as it should be; the log says why"
            if said != self._trouble:
                cause = repr(fault.__cause__) if fault.__cause__ else ""
                _log.warning("upstream not ready", url=self.upstream.base, error=str(fault), cause=cause)
            self._trouble, self._fault, self._took = said, fault, time.monotonic() - began
            return fault
        if not self.found:
            _log.info("upstream", url=self.upstream.base, kind=self.kind, name=self.name)
        self.found, self._fault = True, None
        return None
