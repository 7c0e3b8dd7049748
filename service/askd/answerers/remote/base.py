"""Base class of remote answerers: discovery of the upstream server, readiness and statistics."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from askd.answerers.remote import errors
from askd.answerers.remote.address import RemoteAddress
from askd.answerers.remote.http_client import UpstreamClient
from askd.circuit_breaker import CircuitState
from askd.errors import LoadError, Problem, UpstreamFailed
from askd.models import Answerer, AnswererStatistics, ProgressCallback

DISCOVERY_TIMEOUT: Final = 10.0
"""Maximum duration of a discovery request in seconds."""
MAX_DISCOVERY_WAIT: Final = 0.5
"""Seconds. If the last failed discovery took longer, questions start another one but do not wait for it."""

_log = structlog.get_logger("askd.upstream")


class RemoteAnswerer(Answerer):
    """Answerer that forwards questions to an upstream server.

    An upstream server that is down does not prevent the start. Every question and every readiness check starts another
    discovery. Until one succeeds, readiness fails and questions are answered with 503.

    After the discovery, a failing upstream server does not affect readiness by default: it fails for all replicas, so
    taking all of them out of service would not help.

    Args:
        address: Address of the server.
        upstream: Client for the server.
        readiness_requires_upstream: Fail readiness unless the circuit is closed. Questions no longer arrive then, so
            discovery makes the trial request that closes the circuit.
    """

    def __init__(
        self, address: RemoteAddress, upstream: UpstreamClient, *, readiness_requires_upstream: bool = False
    ) -> None:
        self.address = address
        self.upstream = upstream
        self.is_discovered = False
        self._readiness_requires_upstream = readiness_requires_upstream
        self._discovery_detail = "no request was sent yet"
        self._discovery_seconds = 0.0
        self._discovery_error: Problem | LoadError | None = None
        self._discovery_task: asyncio.Task[Problem | LoadError | None] | None = None

    async def discover(self) -> None:
        """Query the server's abilities.

        Raises:
            LoadError: The server or the configuration is wrong; another attempt would not help.
            Problem: The server cannot be used now, but perhaps later.
        """
        raise NotImplementedError

    async def load(self, progress: ProgressCallback) -> None:
        """Open the session and discover the server. Raises LoadError for a wrong server, assistant or API key."""
        progress("connecting to the upstream server")
        self.upstream.open()
        error = await asyncio.shield(self._start_discovery())
        if isinstance(error, LoadError):
            raise error

    async def close(self) -> None:
        """Cancel a running discovery and close all connections."""
        if self._discovery_task is not None:
            self._discovery_task.cancel()
            await asyncio.wait({self._discovery_task})
        await self.upstream.close()

    def warnings(self) -> Sequence[str]:
        """Return a warning if the server was not discovered."""
        if self.is_discovered:
            return ()
        return (f"the upstream server {self.upstream.base_url} is not ready: {self._discovery_detail}",)

    async def ready(self) -> tuple[bool, str]:
        """Return whether the answerer is ready, and the last error. May start a discovery but does not wait for it."""
        if not self.is_discovered:
            self._start_discovery()
            return False, self._discovery_detail
        circuit = self.upstream.circuit_breaker
        if circuit.state is CircuitState.CLOSED:
            return True, self.upstream.last_error
        next_trial = f"in {circuit.seconds_until_trial:.1f}s" if circuit.state is CircuitState.OPEN else "now"
        detail = f"circuit open, next trial {next_trial}: {self.upstream.last_error}"
        if (
            self._readiness_requires_upstream
            and circuit.state is CircuitState.HALF_OPEN
            and (self._discovery_task is None or self._discovery_task.done())
        ):
            self._discovery_task = asyncio.create_task(self._run_circuit_trial())
        return not self._readiness_requires_upstream, detail

    def statistics(self) -> AnswererStatistics:
        """Return the outcomes of upstream requests and the state of the circuit."""
        circuit = self.upstream.circuit_breaker.statistics()
        return AnswererStatistics(
            circuit_state=circuit.state,
            circuit_openings=circuit.openings,
            upstream_requests=dict(
                succeeded=circuit.succeeded,
                failed=circuit.failed,
                cancelled=circuit.cancelled,
                refused=circuit.rejected,
            ),
        )

    async def ensure_discovered(self) -> None:
        """Return when the server has been discovered.

        Raises:
            Unavailable: Discovery failed but may succeed later.
            UpstreamFailed: The server or the configuration is wrong.
        """
        if self.is_discovered:
            return
        discovery = self._start_discovery()
        if self._discovery_error and self._discovery_seconds > MAX_DISCOVERY_WAIT:
            error: Problem | LoadError | None = self._discovery_error
        else:
            error = await asyncio.shield(discovery)
        if isinstance(error, LoadError):
            raise UpstreamFailed("The upstream server is misconfigured. The server log has the cause.") from error
        if error is not None:
            raise errors.not_ready(error)

    def _start_discovery(self) -> "asyncio.Task[Problem | LoadError | None]":
        """Return the discovery task that all callers share. Callers must shield it from their own cancellation."""
        if self._discovery_task is None or self._discovery_task.done():
            self._discovery_task = asyncio.create_task(self._run_discovery())
        return self._discovery_task

    async def _run_circuit_trial(self) -> Problem | LoadError | None:
        """Run a discovery as the circuit breaker's trial, unless a question is already the trial."""
        if (attempt := self.upstream.circuit_breaker.try_acquire()) is None:
            return None
        try:
            error = await self._run_discovery()
            (attempt.record_failure if isinstance(error, Problem) else attempt.record_success)()
        finally:
            attempt.record_cancellation()  # only has an effect if the discovery was cancelled
        return error

    async def _run_discovery(self) -> Problem | LoadError | None:
        started_at = time.monotonic()
        try:
            await self.discover()
        except (Problem, LoadError) as error:
            detail = error.detail if isinstance(error, Problem) else "misconfigured, see the log"
            if detail != self._discovery_detail:
                cause = repr(error.__cause__) if error.__cause__ else ""
                _log.warning("upstream_not_ready", url=self.upstream.base_url, error=str(error), cause=cause)
            self._discovery_detail = detail
            self._discovery_error = error
            self._discovery_seconds = time.monotonic() - started_at
            return error
        if not self.is_discovered:
            _log.info("upstream_ready", url=self.upstream.base_url, kind=self.kind, name=self.name)
        self.is_discovered, self._discovery_error = True, None
        return None
