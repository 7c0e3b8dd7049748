"""Ops endpoints: `/metrics` and the health checks `/livez`, `/readyz` and `/startupz`.

They never require a token: the platform (Kubernetes, Prometheus) calls them.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from askd.api import rendering
from askd.errors import Unavailable
from askd.guards.health import Health, ProbeResult
from askd.httpserver.router import Router
from askd.telemetry.metrics import CombinedCollector
from askd.telemetry.watchdog import StackDumpCounts

JSON_HEADERS: Final = {"Cache-Control": "no-store", "Content-Type": rendering.JSON_TYPE}

DumpStacks = Callable[[str], StackDumpCounts]
"""Logs the stacks of all threads and tasks, for the given reason."""


class OpsHandlers:
    """Handlers of the ops endpoints.

    They only read shared state, so they can run on any event loop, such as that of the ops port.

    Args:
        health: State that the health checks report.
        registry: Metrics of askd; those of the default registry are appended.
        dump_stacks: Enables `POST /debug/stacks`; None disables it.
    """

    def __init__(self, health: Health, registry: CollectorRegistry, dump_stacks: DumpStacks | None = None) -> None:
        self._health = health
        self._dump_stacks = dump_stacks
        self._metrics = CombinedCollector(registry)

    def register_routes(self, routes: Router) -> None:
        """Add the routes. The path prefix does not apply to them."""
        probes = {"/livez": self._health.check_liveness, "/healthz": self._health.check_liveness}
        probes |= {"/readyz": self._health.check_readiness, "/startupz": self._health.check_startup}
        for path, probe in probes.items():
            routes.add(path, {"GET": partial(self._probe, probe)}, below_prefix=False, quiet=True)
        if self._dump_stacks:
            handlers = {"POST": partial(self._handle_stacks, self._dump_stacks)}
            routes.add("/debug/stacks", handlers, below_prefix=False, quiet=True)
        routes.add("/metrics", {"GET": self.metrics}, below_prefix=False, quiet=True)

    async def _probe(self, probe: Callable[[], ProbeResult], request: web.Request) -> web.StreamResponse:
        result = probe()
        checks = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in result.checks]
        if not result.ok:
            error = Unavailable(result.reason)
            error.extensions["checks"] = checks
            raise error
        body = {"status": "ok", "checks": checks} if "verbose" in request.query else {"status": "ok"}
        return web.Response(body=rendering.encode_json(body), headers=JSON_HEADERS)

    async def _handle_stacks(self, dump_stacks: DumpStacks, request: web.Request) -> web.StreamResponse:
        """Log the stacks and return only their counts: the stacks may contain private data."""
        counts = await asyncio.to_thread(dump_stacks, "POST /debug/stacks")
        return web.Response(body=rendering.encode_json({"status": "logged", **counts._asdict()}), headers=JSON_HEADERS)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Return the metrics as Prometheus text or OpenMetrics, depending on `Accept`."""
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        # Encoding takes milliseconds, which would delay other requests on the event loop.
        body = await asyncio.to_thread(encode, self._metrics)
        response = web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
        response.enable_compression()
        return response
