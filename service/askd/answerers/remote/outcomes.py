"""What of a request to the server counts for its circuit: whether the server is there and works, not what it says.

Failures are connections that fail or break, time-outs, and statuses of 500 and more: Envoy's outlier detection calls
the first and 502, 503 and 504 gateway failures. No failure is what an application says on purpose: that it has too much
to do (429, and 503 with `Retry-After`; to leave it alone altogether would take away what it still does), and that this
one question failed (problem+json, or a run that failed, which is HTTP 200): or whoever knows a question that fails
could shut out everybody else.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp

from service.guards.circuit import Attempt
from service.models import Leg, Question

PROBLEM: Final = "application/problem+json"
PATIENCE: Final = 0.5
"""Share of the deadline that the server had when a time-out counts: a client that waits less shuts nobody out."""
_SOON: Final = 0.05
"""Seconds before the end of a question's time in which its cancellation is taken for that end."""


class Judge:
    """Tells the circuit how one request fared; without a question it is a look at the server, which counts for nothing.

    `work` False: the request only asks for something that is there; that it is given does not show that questions are
    answered. `deadline` is the server's own, in seconds, not the shorter one of a client. `leg` is told, too; None:
    nothing is traced.
    """

    def __init__(
        self,
        attempt: Attempt | None,
        question: Question | None,
        *,
        work: bool,
        deadline: float,
        leg: Leg | None = None,
    ) -> None:
        self._leg = leg
        self._attempt = attempt
        self._question = question
        self._work = work
        self._patient = asyncio.get_running_loop().time() + PATIENCE * deadline
        self._events = 0

    def begun(self, status: int, media_type: str, headers: Mapping[str, str]) -> bool:
        """Take notice of a response's status, and return whether it is a failure of the server's."""
        passing = status == 503 and "Retry-After" in headers
        failed = status >= 500 and media_type != PROBLEM and not passing
        if self._attempt:
            (self._attempt.failed if failed else self._attempt.begun)()
        if self._leg:
            self._leg.answered(status)
        return failed

    def event(self) -> None:
        """Take notice of an event. The first may only say that a run is queued; the second is work done."""
        self._events += 1
        if self._events > 1:
            self.ended()

    def failed(self, error: Exception) -> None:
        """Take notice of what the client library raised."""
        self.closed(type(error).__name__)
        if not self._attempt:
            return
        if not isinstance(error, TimeoutError) or isinstance(error, aiohttp.ConnectionTimeoutError):
            self._attempt.failed()
        else:
            self._late(self._attempt)

    def ended(self) -> None:
        """Take notice of the end of a response, or of its being read no further where enough is known."""
        if self._attempt:
            (self._attempt.succeeded if self._work else self._attempt.left)()

    def left(self) -> None:
        """Take notice of a cancellation: the client's, or that of a deadline that somebody else keeps."""
        self.closed("cancelled")
        if not self._attempt:
            return
        left = self._question.time_left if self._question else None
        if left is not None and left < _SOON:
            self._late(self._attempt)
        else:
            self._attempt.left()

    def closed(self, fault: str = "") -> None:
        """Take notice that nothing more will be read, of the server's answer or in its place."""
        if self._leg:
            self._leg.ended(fault)

    def _late(self, attempt: Attempt) -> None:
        if asyncio.get_running_loop().time() < self._patient:
            attempt.left()
        else:
            attempt.failed(slow=True)
