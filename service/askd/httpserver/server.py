"""The runner: aiohttp's, with our server, our connections and their sweep."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from service.guards.connections import Connections
from service.telemetry.metrics import Metrics
from service.telemetry.summary import Summary
from service.web.connection import Connection
from service.web.doorway import Door
from service.web.footing import SERVER_OBJECT, check, look_for
from service.web.malformed import Malformed
from service.web.outbox import Outbox
from service.web.sweep import Sweep


class Server(web.Server):
    """aiohttp's server, with our connections. `door` None: every request goes the ordinary way.

    `summaries` are told in the log, once a second at most.
    """

    def __init__(
        self,
        made: web.Server,
        *,
        guard: Connections,
        malformed: Malformed,
        summaries: Sequence[Summary],
        door: Door | None,
    ) -> None:
        look_for(made, *SERVER_OBJECT)
        loop: asyncio.AbstractEventLoop = made._loop  # noqa: SLF001 - listed in footing
        options: dict[str, Any] = made._kwargs  # noqa: SLF001 - listed in footing
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=loop,
            **options,
        )
        self.door = door
        self._outbox = Outbox(loop)
        self._guard = guard
        self._malformed = malformed
        self._summaries = (malformed.summary, *summaries)
        self._sweep = Sweep(loop, self.sweep)
        self._sweep.start()

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        options: dict[str, Any] = dict(guard=self._guard, malformed=self._malformed, outbox=self._outbox)
        return Connection(self, loop=self._loop, door=self.door, **options, **self._kwargs)

    def sweep(self) -> None:
        """Close the connections that must be closed by now."""
        for summary in self._summaries:
            summary.sum_up()
        self._guard.sweep()

    def pre_shutdown(self) -> None:
        """Close idle connections, and let the others end with their exchanges."""
        self._guard.drain()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the signature is aiohttp's
        """Wait for the exchanges under way, then end all connections."""
        await super().shutdown(timeout)
        self._sweep.stop()


class Runner(web.AppRunner):
    """aiohttp's runner, with our server."""

    def __init__(
        self,
        app: web.Application,
        metrics: Metrics,
        guard: Connections,
        *,
        door: Door | None = None,
        summaries: Sequence[Summary] = (),
        **options: Any,
    ) -> None:
        """Raise StartupError where aiohttp is not what is rested on."""
        check()
        super().__init__(app, access_log=None, **options)
        self._guard = guard
        self._malformed = Malformed(metrics, clock=guard.clock)
        self._door = door
        self._summaries = summaries

    def drain(self) -> None:
        """Let every connection end with its next answer."""
        self._guard.drain()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self.server.connections) if self.server else 0

    def interrupt(self) -> None:
        """Cancel every exchange that is under way, so that what is around it answers in its place."""
        for connection in self.server.connections if self.server else ():
            if isinstance(connection, Connection):
                connection.interrupt()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(made, guard=self._guard, malformed=self._malformed, summaries=self._summaries, door=self._door)
