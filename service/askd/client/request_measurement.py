"""Measurement of one request: its steps, their durations, and the stages that the server reports."""

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from askd.client import errors
from askd.client.errors import RequestFailed
from askd.client.session import Session
from askd.client.step_timings import RequestTimings, headers_size
from askd.client.target import OutgoingRequest

TOTAL_STAGE: Final = "total"
NETWORK_STEP: Final = "network"
UNREPORTED_STEP: Final = "the rest"
_SERVER_TIMING_METRIC_PATTERN: Final = re.compile(r"\s*([A-Za-z0-9_-]{1,32})\s*;\s*dur=(\d{1,12}(?:\.\d{1,9})?)\s*")


class TimedStep(msgspec.Struct, frozen=True):
    """A step of a request.

    `began` is seconds since the start of the request, `seconds` the duration. `server` marks stages from
    `Server-Timing`.
    """

    name: str
    began: float
    seconds: float
    server: bool = False


class RequestMeasurement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A measured request and its response. Times are seconds, sizes are bytes of headers and body together."""

    url: str
    status: int
    answer: str | None
    protocol: str
    address: str
    addresses: list[str]
    served_by: str
    id: str
    seconds: float
    sent: int
    received: int
    steps: list[TimedStep]
    server_timing: dict[str, float]
    problem: Any = None
    cache: str = ""
    """`Cache-Status` (RFC 9211) of askd and of caches in between."""


async def measure_request(
    session: Session, request: OutgoingRequest
) -> tuple[RequestMeasurement, RequestFailed | None]:
    """Send a question and measure it.

    Returns:
        The measurement, and the failure if the status is not 200.

    Raises:
        RequestFailed: The server sent no response.
    """
    async with session.ask(request) as response:
        body = await session.read_body(response)
        content, timings = decode_json_or_none(body), session.timings
        failure = (
            None
            if response.status == 200
            else errors.failure_from_response(response.status, response.headers, content, session.target)
        )
        server_timing = parse_server_timing(", ".join(response.headers.getall("Server-Timing", [])))
        answer = content.get("answer") if isinstance(content, Mapping) and failure is None else None
        measurement = RequestMeasurement(
            url=str(response.url),
            status=response.status,
            answer=answer if isinstance(answer, str) else None,
            protocol=describe_protocol(response, timings),
            address=timings.peer_address,
            addresses=timings.addresses,
            served_by=response.headers.get("X-Served-By", ""),
            id=response.headers.get("X-Request-Id", ""),
            seconds=(timings.finished_at or timings.started_at) - timings.started_at,
            sent=timings.sent_bytes,
            received=_response_head_size(response) + len(body),
            steps=build_steps(timings.step_spans(), server_timing),
            server_timing=server_timing,
            problem=content if failure else None,
            cache=", ".join(response.headers.getall("Cache-Status", [])),
        )
    return measurement, failure


def describe_protocol(response: aiohttp.ClientResponse, timings: RequestTimings) -> str:
    """Return `HTTP/1.1`, or `HTTP/1.1 over TLS 1.3`."""
    version = response.version
    http = f"HTTP/{version.major}.{version.minor}" if version else "HTTP"
    tls = timings.ssl_object.version() if timings.ssl_object else None
    return f"{http} over {tls.replace('v', ' ')}" if tls else http


def parse_server_timing(header: str) -> dict[str, float]:
    """Return the seconds of each stage in a `Server-Timing` header; metrics without a duration are ignored."""
    matches = filter(None, map(_SERVER_TIMING_METRIC_PATTERN.fullmatch, header.split(",")))
    return {match[1]: float(match[2]) / 1000 for match in matches}


def build_steps(spans: Mapping[str, tuple[float, float]], server_timing: Mapping[str, float]) -> list[TimedStep]:
    """Return the steps in order, with network and server stages after `waiting`, which they are part of.

    The waiting time that the server does not report is attributed to the network, half of it before and half after
    the server's stages. `Server-Timing` has no start times, so the stages are placed one after another.
    """
    steps: list[TimedStep] = []
    for name, (began, ended) in spans.items():
        steps.append(TimedStep(name, began, ended - began))
        if name == "waiting" and TOTAL_STAGE in server_timing:
            steps += _build_server_steps(began, ended - began, server_timing)
    return steps


def _build_server_steps(began: float, waiting: float, server_timing: Mapping[str, float]) -> list[TimedStep]:
    total = server_timing[TOTAL_STAGE]
    network = max(waiting - total, 0.0)
    steps, began = [TimedStep(NETWORK_STEP, began, network)], began + network / 2
    stages = {name: seconds for name, seconds in server_timing.items() if name != TOTAL_STAGE}
    for name, seconds in (stages | {UNREPORTED_STEP: max(total - sum(stages.values()), 0.0)}).items():
        steps.append(TimedStep(name, began, seconds, server=True))
        began += seconds
    return steps


def _response_head_size(response: aiohttp.ClientResponse) -> int:
    return len(f"HTTP/1.1 {response.status} {response.reason}\r\n") + headers_size(response.raw_headers)


def decode_json_or_none(body: bytes) -> Any:
    """Return the decoded JSON, or None if the body is not valid JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
