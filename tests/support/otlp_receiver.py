"""A receiver of OTLP over HTTP, which reads the protocol's own protobuf: what a collector would get."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

BOUND = 30.0
"""Seconds after which spans that should come are taken never to come."""


class Receiver:
    """Takes spans, and keeps them. `status` is what it answers; while `hangs` it answers nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.hangs = False
        self.requests: list[web.BaseRequest] = []
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self._news = asyncio.Condition()

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Read one request."""
        body = await request.read()
        async with self._news:
            self.requests.append(request)
            self._news.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        async with self._news:
            for told in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = attributes(told.resource.attributes)
                self.spans += [span for scope in told.scope_spans for span in scope.spans]
            self._news.notify_all()
        return web.Response(status=self.status, headers={"Content-Type": "application/x-protobuf"})

    async def asked(self, times: int = 1) -> None:
        """Wait until it was sent something so many times."""
        async with asyncio.timeout(BOUND), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= times)

    async def until(self, count: int) -> list[Span]:
        """Wait for so many spans, and return all that have come."""
        async with asyncio.timeout(BOUND), self._news:
            await self._news.wait_for(lambda: len(self.spans) >= count)
        return self.spans

    def named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as a mapping."""
    found: dict[str, Any] = {}
    for pair in pairs:
        assert isinstance(pair, KeyValue)
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Give a receiver on a free port."""
    made = Receiver()
    runner = web.ServerRunner(web.Server(made.take), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
