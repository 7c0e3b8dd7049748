"""Ops endpoints, for the platform: `/metrics`, `/livez`, `/readyz`, `/startupz`. They never ask who is asking."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.errors import Unavailable
from service.guards.health import Health, Verdict
from service.telemetry.metrics import Both
from service.telemetry.stacks import Dumped
from service.web import render
from service.web.routes import Routes

HEADERS: Final = {"Cache-Control": "no-store", "Content-Type": render.JSON_TYPE}

Dump = Callable[[str], Dumped]
"""Logs the stacks of threads and tasks, for the given reason."""


class Ops:
    """The handlers of the ops endpoints; they only read what others wrote, so that any loop may run them.

    `dump` None: nobody may have the stacks logged.
    """

    def __init__(self, health: Health, registry: CollectorRegistry, dump: Dump | None = None) -> None:
        self._health = health
        self._dump = dump
        self._metrics = Both(registry)

    def add_to(self, routes: Routes) -> None:
        """Add the routes, never below a prefix."""
        probes = {"/livez": self._health.liveness, "/healthz": self._health.liveness}
        probes |= {"/readyz": self._health.readiness, "/startupz": self._health.startup}
        for path, probe in probes.items():
            routes.add(path, {"GET": partial(self._probe, probe)}, below_prefix=False, quiet=True)
        if self._dump:
            routes.add("/debug/stacks", {"POST": partial(self._stacks, self._dump)}, below_prefix=False)
        routes.add("/metrics", {"GET": self.metrics}, below_prefix=False, quiet=True)

    async def _probe(self, probe: Callable[[], Verdict], request: web.Request) -> web.StreamResponse:
        verdict = probe()
        checks = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in verdict.checks]
        if not verdict.ok:
            failure = Unavailable(verdict.reason)
            failure.members["checks"] = checks
            raise failure
        shown = {"status": "ok", "checks": checks} if "verbose" in request.query else {"status": "ok"}
        return web.Response(body=render.encode(shown), headers=HEADERS)

    async def _stacks(self, dump: Dump, request: web.Request) -> web.StreamResponse:
        """Log the stacks, and say how many; they themselves are for whoever may read the log."""
        dumped = await asyncio.to_thread(dump, "POST /debug/stacks")
        return web.Response(body=render.encode({"status": "logged", **dumped._asdict()}), headers=HEADERS)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Prometheus text or OpenMetrics, by negotiation; made in a thread, for it takes milliseconds."""
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        body = await asyncio.to_thread(encode, self._metrics)
        response = web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
        response.enable_compression()
        return response
