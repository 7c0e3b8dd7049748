"""Measurement of requests: their steps, and the stages that the server reports."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from askd.client import errors
from askd.client.errors import RequestFailed
from askd.client.http_client import Session, decode_json_or_none
from askd.client.target import OutgoingRequest, ServerTarget

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


def measure_repeatedly(
    target: ServerTarget, request: OutgoingRequest, *, repeat: int, keep_alive: bool
) -> tuple[list[RequestMeasurement], list[RequestFailed]]:
    """Send the question `repeat` times, one after another, on one connection if `keep_alive`.

    Returns:
        The measured responses, and the failures: of those with another status than 200, and of requests without a
        response.
    """
    measurements: list[RequestMeasurement] = []
    failures: list[RequestFailed] = []
    with Session(target, keep_alive=keep_alive) as session:
        for _ in range(repeat):
            try:
                measurement, failure = _measure_request(session, request)
            except RequestFailed as error:
                failures.append(error)
                continue
            measurements.append(measurement)
            failures += [failure] if failure else []
    return measurements, failures


def _measure_request(session: Session, request: OutgoingRequest) -> tuple[RequestMeasurement, RequestFailed | None]:
    response = session.ask(request)
    content, headers, failure = decode_json_or_none(response.read()), response.headers, None
    if response.status != 200:
        failure = errors.failure_from_response(response.status, headers, content, session.target)
    spans = session.stopwatch.spans
    server_timing = parse_server_timing(response.header_list("Server-Timing"))
    answer = content.get("answer") if isinstance(content, Mapping) and failure is None else None
    tls = f" over {session.tls_version.replace('v', ' ')}" if session.tls_version else ""
    measurement = RequestMeasurement(
        url=str(response.url),
        status=response.status,
        answer=answer if isinstance(answer, str) else None,
        protocol=f"{response.version}{tls}",
        address=session.peer_address,
        addresses=session.addresses,
        served_by=headers.get("X-Served-By", ""),
        id=headers.get("X-Request-Id", ""),
        seconds=max(ended for _, ended in spans.values()),
        sent=session.sent_bytes,
        received=response.received_bytes,
        steps=build_steps(spans, server_timing),
        server_timing=server_timing,
        problem=content if failure else None,
        cache=response.header_list("Cache-Status"),
    )
    return measurement, failure


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
