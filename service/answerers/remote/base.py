"""`Remote`: what every answerer in another process has: it is looked up, perhaps later, and then it is ready."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from service.answerers.remote import faults
from service.answerers.remote.address import Address
from service.answerers.remote.upstream import Upstream
from service.errors import LoadError, Problem, UpstreamFailed
from service.models import Answerer, Progress

LOOK: Final = 10.0
"""Seconds for a look at the server: what it answers then costs it nothing."""

_log = structlog.get_logger("askd.upstream")


class Remote(Answerer):
    """Looks its server up in `load`, or later.

    One that is down at first does not end the start: it is looked for again at each question and, aside, as often as
    readiness is asked for. Until it is found, readiness fails and questions are answered with 503.

    Once found, readiness stays: a server that is down fails at every replica, and nothing would be gained by taking all
    of them away.
    """

    def __init__(self, address: Address, upstream: Upstream) -> None:
        self.address = address
        self.upstream = upstream
        self.found = False
        self._trouble = "not asked yet"
        self._look: asyncio.Task[Problem | LoadError | None] | None = None

    async def find(self) -> None:
        """Look at the server once. Raises LoadError where it will never do, any other Problem where it may yet."""
        raise NotImplementedError

    async def load(self, progress: Progress) -> None:
        """Open the session and look. Raises LoadError: no such assistant, no such server, no key."""
        progress("asking the server that answers")
        self.upstream.open()
        fault = await self._looked()
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
        if self.found:
            return True, self.upstream.trouble
        self._looking()
        return False, self._trouble

    async def reached(self) -> None:
        """Return once the server is known. Raises Unavailable, and UpstreamFailed where it will never do."""
        if self.found:
            return
        fault = await self._looked()
        if isinstance(fault, LoadError):
            raise UpstreamFailed("The server that answers is not set up for this one. The log says why.") from fault
        if fault is not None:
            raise faults.again(fault)

    async def _looked(self) -> Problem | LoadError | None:
        """Wait for the one look that all share; whoever leaves does not take it from the others."""
        return await asyncio.shield(self._looking())

    def _looking(self) -> "asyncio.Task[Problem | LoadError | None]":
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._find())
        return self._look

    async def _find(self) -> Problem | LoadError | None:
        try:
            await self.find()
        except (Problem, LoadError) as fault:
            said = fault.detail if isinstance(fault, Problem) else "not as it should be; the log says why"
            if said != self._trouble:
                cause = repr(fault.__cause__) if fault.__cause__ else ""
                _log.warning("upstream not ready", url=self.upstream.base, error=str(fault), cause=cause)
            self._trouble = said
            return fault
        self.found = True
        _log.info("upstream", url=self.upstream.base, kind=self.kind, name=self.name)
        return None
