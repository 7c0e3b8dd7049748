"""Instrumentation: ids, access log, metrics and response headers of every request."""

import asyncio
import logging
import re
import socket

import pytest
from prometheus_client import CollectorRegistry

from askd.app import CONNECTIONS, HEALTH, INSTRUMENTATION, METRICS
from askd.models import Answer, Answerer, Question
from askd.telemetry.metrics import ACTIVE_REQUESTS, REQUEST_DURATION
from tests.support.app_fixtures import Client, Log, ServeApp
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_keys import CLIENT, METHOD, PATH, ROUTE, STATUS
from tests.support.request_metrics import request_count

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def test_a_well_formed_id_is_kept(serve: ServeApp, log: Log) -> None:
    """A well-formed id of the client is in the response and in the log."""
    response = await (await serve()).get("/ask?q=hello", headers={"X-Request-Id": "order:4711/a.b_c~d+e=f@g-h"})
    assert response.headers["X-Request-Id"] == log.lines("request")[0]["request_id"] == "order:4711/a.b_c~d+e=f@g-h"


@pytest.mark.parametrize("offered", ["", "a b", "é", "x" * 129, '"', "<b>", "a,b"])
async def test_malformed_ids_are_replaced(serve: ServeApp, log: Log, offered: str) -> None:
    """A malformed id is neither returned nor logged: each request gets a new id."""
    client = await serve()
    responses = [await client.get("/ask?q=hello", headers={"X-Request-Id": offered}) for _ in range(2)]
    ids = [response.headers["X-Request-Id"] for response in responses]
    assert all(re.fullmatch(r"[0-9a-f]{32}", request_id) for request_id in ids)
    assert len({*ids, offered}) == 3
    assert [line["request_id"] for line in log.lines("request")] == ids


async def test_trace_id_is_logged(serve: ServeApp, log: Log) -> None:
    """The line has the trace id of a well-formed `traceparent`, and none for a malformed one."""
    client = await serve()
    for header in (TRACEPARENT, "00-zz-00-01"):
        await client.get("/ask?q=hello", headers={"traceparent": header})
    lines = log.lines("request")
    assert (lines[0]["trace_id"], "trace_id" in lines[1]) == (TRACE, False)


TIMING = re.compile(r"[a-z_]+;dur=\d+\.\d+(, [a-z_]+;dur=\d+\.\d+)*")


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("/ask?q=hello", ["render", "total"]),
        ("/ask?q=abc", ["cache", "queue", "answerer", "render", "total"]),
        ("/ask?q=boom", ["cache", "queue", "answerer", "total"]),
        ("/nowhere", ["total"]),
    ],
)
async def test_server_timing_has_the_stages(serve: ServeApp, log: Log, path: str, stages: list[str]) -> None:
    """`Server-Timing` is well formed and has the same stages as the access log."""
    response = await (await serve()).get(path)
    timing = response.headers["Server-Timing"]
    assert TIMING.fullmatch(timing)
    assert [part.partition(";")[0] for part in timing.split(", ")] == stages
    line = log.lines("request")[0]
    assert [name.removesuffix("_ms") for name in line if name.endswith("_ms")] == ["duration", *stages[:-1]]
    assert line["duration_ms"] > 0


async def test_each_request_is_one_line(serve: ServeApp, log: Log) -> None:
    """The line has method, route, status and client, but neither query nor body; only unmatched paths are logged."""
    client = await serve(prefix="/answers")
    await client.get("/answers/ask?q=private+matter")
    await client.post("/answers/ask", json={"q": "private matter"})
    await client.get("/no%20where?q=private")
    lines = log.lines()
    assert [
        (line["event"], line["level"], line[METHOD], line[ROUTE], line.get(PATH), line[STATUS]) for line in lines
    ] == [
        ("request", "info", "GET", "/ask", None, 200),
        ("request", "info", "POST", "/ask", None, 200),
        ("request", "info", "GET", "unmatched", "/no%20where", 404),
    ]
    assert all(line[CLIENT] == "127.0.0.1" and line["timestamp"].endswith("Z") for line in lines)
    assert ("private" in log.text, "matter" in log.text) == (False, False)


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_problems_are_logged(serve: ServeApp, log: Log, accept: str) -> None:
    """The line of a failed request has the code, the parameter and the detail of the problem."""
    client = await serve()
    for path in ("/ask?q=hello", "/ask", "/ask?q=nothing", "/ask?q=boom", "/nowhere"):
        await client.get(path, headers={"Accept": accept})
    lines = log.lines("request")
    assert [(line[STATUS], line.get("problem"), line.get("parameter")) for line in lines] == [
        (200, None, None),
        (400, "bad-question", "q"),
        (404, "no-answer", None),
        (500, "answerer-failed", None),
        (404, "not-found", None),
    ]
    assert ["detail" in line for line in lines] == [False, True, True, True, True]
    assert "secret" not in str(lines)


async def test_questions_are_logged_if_configured(serve: ServeApp, log: Log) -> None:
    """With ASKD_LOG_QUESTIONS the line has the text of the question."""
    client = await serve(log_questions="true")
    await client.get("/ask?q=a%0Ab")
    assert log.lines("request")[0]["question"] == "a\nb"


async def test_ops_requests_are_neither_logged_nor_counted(serve: ServeApp, log: Log) -> None:
    """Probes and scrapes are not in the access log and in the request metrics, even if they fail."""
    client = await serve(UppercaseAnswerer(slow_load=True), loaded=False)
    for path in ("/livez", "/healthz", "/readyz", "/startupz", "/metrics"):
        await client.get(path)
    assert log.lines() == []
    registry = client.app[METRICS].registry
    assert {labels["http_route"] for labels in request_series(registry)} == {"/ask"}  # exists from the start, at 0
    assert registry.get_sample_value(ACTIVE_REQUESTS) == 0
    assert client.app[INSTRUMENTATION].in_flight == 0


def request_series(registry: CollectorRegistry) -> list[dict[str, str]]:
    """Return the labels of all series of the request duration."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    return [sample.labels for sample in samples if sample.name == f"{REQUEST_DURATION}_count"]


def count(client: Client, route: str, method: str, status: int) -> float | None:
    """Return the number of finished requests with these labels."""
    return request_count(client.app[METRICS].registry, route=route, method=method, status=status)


class LoggingAnswerer(Answerer):
    """Logs with the standard library, as user code might."""

    kind = name = "logging"

    async def answer(self, question: Question) -> Answer:
        """Log a line."""
        logging.getLogger("users.code").warning("thinking of %s", "something", extra={"step": 1})
        return Answer(question.text)


async def test_lines_of_user_code_have_the_ids(serve: ServeApp, log: Log) -> None:
    """Lines of user code have the same form, and the ids of their request."""
    client = await serve(LoggingAnswerer())
    for request_id, accept in (("one", "*/*"), ("two", "text/event-stream")):
        await client.get("/ask?q=a", headers={"Accept": accept, "X-Request-Id": request_id, "traceparent": TRACEPARENT})
    logging.getLogger("users.code").warning("outside")
    *lines, outside = log.lines()
    user_lines = [line for line in lines if line.get("logger") == "users.code"]
    assert [(line["event"], line["step"], line["request_id"], line["trace_id"]) for line in user_lines] == [
        ("thinking of something", 1, "one", TRACE),
        ("thinking of something", 1, "two", TRACE),
    ]
    assert ("request_id" in outside, outside["level"]) == (False, "warning")


async def test_requests_are_counted_by_route(serve: ServeApp) -> None:
    """The metrics have the route without the prefix, the method and the status."""
    client = await serve(prefix="/answers")
    for path in ("/ask?q=hello", "/ask?q=nothing", "/docs", ""):
        await client.get("/answers" + path)
    assert [count(client, "/ask", "GET", status) for status in (200, 404)] == [1, 1]
    assert count(client, "/docs", "GET", 200) == 1
    assert count(client, "/", "GET", 200) == 1


async def test_active_requests(serve: ServeApp) -> None:
    """A request is active until its response is sent."""
    fake = UppercaseAnswerer()
    client = await serve(fake)
    response = asyncio.ensure_future(client.get("/ask?q=wait"))
    await asyncio.wait_for(fake.wait_started.wait(), 5)
    gauges = (ACTIVE_REQUESTS, "askd_answerer_in_flight")
    registry = client.app[METRICS].registry
    assert [registry.get_sample_value(name) for name in gauges] == [1, 1]
    fake.release.set()
    await response
    assert [registry.get_sample_value(name) for name in gauges] == [0, 0]
    assert client.app[INSTRUMENTATION].in_flight == 0


async def test_common_response_headers(serve: ServeApp) -> None:
    """Answers, errors and probes have the name of the instance, but no version."""
    client = await serve()
    for path in ("/ask?q=hello", "/nowhere", "/livez", "/docs"):
        headers = (await client.get(path)).headers
        assert (headers["X-Served-By"], headers["X-Content-Type-Options"]) == (socket.gethostname(), "nosniff")
        assert headers["Server"] == "askd"


async def test_draining_server_closes_connections(serve: ServeApp) -> None:
    """While the server drains, requests are still answered, but every response closes its connection."""
    client = await serve()
    assert "Connection" not in (await client.get("/ask?q=hello")).headers
    client.app[HEALTH].drain_state.is_draining = True
    client.app[CONNECTIONS].drain()
    for path in ("/ask?q=hello", "/nowhere", "/livez"):
        assert (await client.get(path)).headers["Connection"] == "close"
    assert (await client.get("/ask?q=hello")).status == 200
