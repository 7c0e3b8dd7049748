"""Observation: every exchange has an id, a log line and a metric, and says nothing of the question."""

import logging
import random
import re

import pytest

from service.app import METRICS, OBSERVER
from service.models import Answer, Answerer, Question
from tests.fakes import Upper
from tests.web.conftest import Client, Log, Serve

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def test_a_well_formed_id_is_kept(serve: Serve, log: Log) -> None:
    """The client's own id comes back and stands in the log."""
    response = await (await serve()).get("/ask?q=hello", headers={"X-Request-Id": "order:4711/a.b_c~d+e=f@g-h"})
    assert response.headers["X-Request-Id"] == log.lines("exchange")[0]["id"] == "order:4711/a.b_c~d+e=f@g-h"


@pytest.mark.parametrize("offered", ["", "a b", "é", "x" * 129, '"', "<b>", "a,b"])
async def test_another_id_is_replaced(serve: Serve, log: Log, offered: str) -> None:
    """What is not well formed is neither returned nor logged: a fresh id is made, another for each exchange."""
    client = await serve()
    made = [(await client.get("/ask?q=hello", headers={"X-Request-Id": offered})).headers["X-Request-Id"] for _ in "12"]
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in made)
    assert len({*made, offered}) == 3
    assert [line["id"] for line in log.lines("exchange")] == made


async def test_the_trace_is_in_the_log(serve: Serve, log: Log) -> None:
    """A well-formed `traceparent` puts its trace id into the line; a malformed one leaves it out."""
    client = await serve()
    for header in (TRACEPARENT, "00-zz-00-01"):
        await client.get("/ask?q=hello", headers={"traceparent": header})
    lines = log.lines("exchange")
    assert (lines[0]["trace_id"], "trace_id" in lines[1]) == (TRACE, False)


TIMING = re.compile(r"[a-z]+;dur=\d+\.\d+(, [a-z]+;dur=\d+\.\d+)*")


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("/ask?q=hello", ["render", "total"]),
        ("/ask?q=abc", ["cache", "queue", "code", "render", "total"]),
        ("/ask?q=boom", ["cache", "queue", "code", "total"]),
        ("/nowhere", ["total"]),
    ],
)
async def test_server_timing_has_the_stages_passed(serve: Serve, log: Log, path: str, stages: list[str]) -> None:
    """`Server-Timing` is well formed and has the stages that this exchange passed; the log has the same."""
    response = await (await serve()).get(path)
    timing = response.headers["Server-Timing"]
    assert TIMING.fullmatch(timing)
    assert [part.partition(";")[0] for part in timing.split(", ")] == stages
    line = log.lines("exchange")[0]
    assert [name.removesuffix("_ms") for name in line if name.endswith("_ms")] == ["duration", *stages[:-1]]
    assert line["duration_ms"] > 0


async def test_one_line_for_each_exchange(serve: Serve, log: Log) -> None:
    """The line has id, route template, method, status, time and client, and is JSON."""
    client = await serve(prefix="/answers")
    await client.get("/answers/ask?q=private+matter")
    await client.post("/answers/ask", json={"q": "private matter"})
    await client.get("/private/matter?q=private")
    lines = log.lines()
    seen = [(line["event"], line["level"], line["route"], line["method"], line["status"]) for line in lines]
    assert seen == [
        ("exchange", "info", "/ask", "GET", 200),
        ("exchange", "info", "/ask", "POST", 200),
        ("exchange", "info", "unmatched", "GET", 404),
    ]
    assert all(line["client"] == "127.0.0.1" and line["timestamp"].endswith("Z") for line in lines)
    assert ("private" in log.text, "matter" in log.text) == (False, False)


async def test_questions_are_logged_where_the_setting_says_so(serve: Serve, log: Log) -> None:
    """With the setting the line has the question's text."""
    client = await serve(log_questions="true")
    await client.get("/ask?q=a%0Ab")
    assert log.lines("exchange")[0]["question"] == "a\nb"


async def test_probes_and_scrapes_are_not_logged(serve: Serve, log: Log) -> None:
    """The platform's own requests are counted, but leave no line, also where they fail."""
    client = await serve(Upper(slow_load=True), loaded=False)
    for path in ("/livez", "/healthz", "/readyz", "/startupz", "/metrics"):
        await client.get(path)
    assert log.lines() == []
    assert requests(client, route="/readyz", method="GET", code="503") == 1


def requests(client: Client, **labels: str) -> float | None:
    """Return how many exchanges with these labels have ended."""
    found: float | None = client.app[METRICS].registry.get_sample_value("askd_requests_total", labels)
    return found


class Talkative(Answerer):
    """Logs with the standard library, as users' code does."""

    kind = name = "talkative"

    async def answer(self, question: Question) -> Answer:
        """Think aloud."""
        logging.getLogger("users.code").warning("thinking of %s", "something", extra={"step": 1})
        return Answer(question.text)


async def test_the_codes_own_lines_have_the_ids(serve: Serve, log: Log) -> None:
    """What the code logs comes out in the same form, with the ids of the exchange it belongs to, and no other's."""
    client = await serve(Talkative())
    for id, accept in (("one", "*/*"), ("two", "text/event-stream")):
        await client.get("/ask?q=a", headers={"Accept": accept, "X-Request-Id": id, "traceparent": TRACEPARENT})
    logging.getLogger("users.code").warning("outside")
    *lines, outside = log.lines()
    own = [line for line in lines if line.get("logger") == "users.code"]
    assert [(line["event"], line["step"], line["id"], line["trace_id"]) for line in own] == [
        ("thinking of something", 1, "one", TRACE),
        ("thinking of something", 1, "two", TRACE),
    ]
    assert ("id" in outside, outside["level"]) == (False, "warning")


async def test_unknown_paths_and_methods_are_one_series(serve: Serve) -> None:
    """A thousand paths and methods of strangers add no series beyond the first of their kind."""
    client = await serve()
    dice = random.Random(1)
    methods = ["GET", "PUT", "PROPFIND", "MKCOL", "LOCK", "REPORT", "SEARCH"]

    async def strange() -> None:
        await client.request(dice.choice(methods), f"/{dice.getrandbits(64):x}", headers={"Accept": "*/*"})

    def series() -> int:
        return sum(len(family.samples) for family in client.app[METRICS].registry.collect())

    for method in methods:
        await client.request(method, "/nowhere")
    before = series()
    for _ in range(1000):
        await strange()
    assert series() == before
    assert requests(client, route="unmatched", method="other", code="404")


async def test_exchanges_are_counted_by_template(serve: Serve) -> None:
    """Counter and histogram have the route's template, the method and the status, whatever the prefix."""
    client = await serve(prefix="/answers")
    for path in ("/ask?q=hello", "/ask?q=nothing", "/docs", ""):
        await client.get("/answers" + path)
    assert [requests(client, route="/ask", method="GET", code=code) for code in ("200", "404")] == [1, 1]
    assert requests(client, route="/docs", method="GET", code="200") == 1
    assert requests(client, route="/", method="GET", code="200") == 1
    registry = client.app[METRICS].registry
    labels = {"route": "/ask", "method": "GET", "code": "404"}
    assert registry.get_sample_value("askd_request_duration_seconds_count", labels) == 1


async def test_in_flight_rises_and_falls(serve: Serve) -> None:
    """An exchange under way is in flight, and none is when all have ended."""
    import asyncio

    fake = Upper()
    client = await serve(fake)
    asking = asyncio.ensure_future(client.get("/ask?q=wait"))
    await asyncio.wait_for(fake.waiting.wait(), 5)
    gauges = ("askd_in_flight", "askd_answerer_in_flight")
    registry = client.app[METRICS].registry
    assert [registry.get_sample_value(name) for name in gauges] == [1, 1]
    fake.release.set()
    await asking
    assert [registry.get_sample_value(name) for name in gauges] == [0, 0]
    assert client.app[OBSERVER].in_flight == 0


async def test_every_response_tells_who_answered_and_not_with_what(serve: Serve) -> None:
    """Answers, failures and probes name the instance, forbid sniffing, and hide versions."""
    import socket

    client = await serve()
    for path in ("/ask?q=hello", "/nowhere", "/livez", "/docs"):
        headers = (await client.get(path)).headers
        assert (headers["X-Served-By"], headers["X-Content-Type-Options"]) == (socket.gethostname(), "nosniff")
        assert headers["Server"] == "askd"


async def test_a_draining_server_asks_clients_to_leave(serve: Serve) -> None:
    """From the start of the drain every response ends its connection, while it is still answered."""
    from service.app import HEALTH

    client = await serve()
    assert "Connection" not in (await client.get("/ask?q=hello")).headers
    client.app[HEALTH].draining()
    for path in ("/ask?q=hello", "/nowhere", "/livez"):
        assert (await client.get(path)).headers["Connection"] == "close"
    assert (await client.get("/ask?q=hello")).status == 200
