"""A receiver of OTLP over HTTP, in place of an OpenTelemetry collector."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TIMEOUT = 30.0
"""Seconds after which a test fails if expected spans are missing."""


class OtlpReceiver:
    """Keeps the spans it receives. It responds with `status`, or not at all while `hangs` is set."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.hangs = False
        self.requests: list[web.BaseRequest] = []
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self._changed = asyncio.Condition()

    async def handle_request(self, request: web.BaseRequest) -> web.StreamResponse:
        """Read one export request."""
        body = await request.read()
        async with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        async with self._changed:
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = attributes(resource_spans.resource.attributes)
                self.spans += [span for scope in resource_spans.scope_spans for span in scope.spans]
            self._changed.notify_all()
        return web.Response(status=self.status, headers={"Content-Type": "application/x-protobuf"})

    async def wait_for_requests(self, times: int = 1) -> None:
        """Wait until this number of requests has arrived."""
        async with asyncio.timeout(TIMEOUT), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= times)

    async def wait_for_spans(self, count: int) -> list[Span]:
        """Wait for this number of spans; return all spans so far."""
        async with asyncio.timeout(TIMEOUT), self._changed:
            await self._changed.wait_for(lambda: len(self.spans) >= count)
        return self.spans

    def spans_named(self, name: str) -> list[Span]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]


def attributes(pairs: Any) -> dict[str, Any]:
    """Return protobuf attributes as a mapping."""
    values: dict[str, Any] = {}
    for pair in pairs:
        assert isinstance(pair, KeyValue)
        field = pair.value.WhichOneof("value")
        values[pair.key] = getattr(pair.value, field) if field else None
    return values


@asynccontextmanager
async def running_receiver() -> AsyncIterator[OtlpReceiver]:
    """Run a receiver on a free port."""
    receiver = OtlpReceiver()
    runner = web.ServerRunner(web.Server(receiver.handle_request), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
