"""The rate over HTTP: who is counted together, what clients are told, and what is not counted."""

import asyncio

import pytest

from service.errors import TooManyRequests
from service.guards.rate import Rate, RateStatistics, Verdict
from service.settings import Settings
from service.telemetry.exchange import Exchange
from service.units import Rate as Limit
from service.web.admission import Admission
from tests.fakes import Upper
from tests.web.conftest import Log, Serve
from tests.web.page_fakes import contract

LOCAL = "127.0.0.0/8"


def exchange(**fields: str) -> Exchange:
    """The record of an exchange with these fields."""
    return Exchange(id="1", method="GET", route="/ask", arrived=0.0, **fields)  # type: ignore[arg-type]  # texts all


async def test_a_client_over_its_rate_is_refused(serve: Serve) -> None:
    """429 as a problem, with when to come back in both fields; the code is not asked; a later client is let in."""
    answerer = Upper(deterministic=False)
    client = await serve(answerer, rate="2/h", trusted_proxies=LOCAL)
    statuses = [(await client.get("/ask?q=a")).status for _ in range(2)]
    refused = await client.get("/ask?q=a")
    problem = await refused.json()
    assert (statuses, refused.status, refused.content_type) == ([200, 200], 429, "application/problem+json")
    assert problem["type"].endswith("#too-many-requests")
    wait = int(refused.headers["Retry-After"])
    assert 1795 <= wait <= 1800
    assert refused.headers["RateLimit"] == f'"default";r=0;t={wait}'
    assert refused.headers["RateLimit-Policy"] == '"default";q=2;w=3600'
    assert problem["detail"] == f"This client has used up its rate. Ask again in {wait} s."
    assert len(answerer.asked) == 2
    assert (await client.get("/ask?q=a", headers={"X-Forwarded-For": "203.0.113.9"})).status == 200


async def test_answers_say_what_is_left(serve: Serve) -> None:
    """Answers, streams, failures and validated answers have both fields; a burst of its own is told as well."""
    client = await serve(rate="60/m", rate_burst="6")
    asked: list[tuple[str, dict[str, str], int]] = [
        ("/ask?q=hello", {}, 200),
        ("/ask?q=abc", {"Accept": "text/event-stream"}, 200),
        ("/ask?q=boom", {}, 500),
        ("/ask", {}, 400),
        ("/ask?q=hello", {"If-None-Match": "*"}, 304),
    ]
    for left, (path, headers, status) in zip((5, 4, 3, 2, 1), asked, strict=True):
        response = await client.get(path, headers=headers)
        assert response.status == status
        assert response.headers["RateLimit"].startswith(f'"default";r={left};t=')
        assert response.headers["RateLimit-Policy"] == '"default";q=60;w=60;askd-burst=6'


async def test_without_a_rate_nothing_is_said(serve: Serve) -> None:
    """No field, no stage and no metric without the setting."""
    client = await serve()
    response = await client.get("/ask?q=hello")
    assert not [name for name in response.headers if name.lower().startswith("ratelimit")]
    assert "rate;" not in response.headers["Server-Timing"]
    assert "askd_rate" not in await (await client.get("/metrics")).text()


async def test_only_questions_are_counted(serve: Serve) -> None:
    """Pages, ops endpoints, preflights, wrong methods and wrong paths use up no rate, and say nothing of it."""
    client = await serve(rate="1/h", cors_origins="*")
    for method, path in [("GET", "/docs"), ("GET", "/"), ("GET", "/metrics"), ("OPTIONS", "/ask"), ("PUT", "/ask")]:
        for _ in range(2):
            response = await client.request(method, path)
            assert response.status != 429
            assert "RateLimit" not in response.headers
    assert (await client.get("/ask?q=hello")).status == 200
    assert (await client.post("/ask", json={"q": "hello"})).status == 429


async def test_clients_behind_a_trusted_proxy_have_a_rate_each(serve: Serve, log: Log) -> None:
    """Each address has its own rate, one of IPv6 with its network; the log and the code see the address itself."""
    answerer = Upper(deterministic=False)
    client = await serve(answerer, rate="1/h", trusted_proxies=LOCAL)
    asked = ["203.0.113.9", "203.0.113.9", "203.0.113.8", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    statuses = [(await client.get("/ask?q=a", headers={"X-Forwarded-For": who})).status for who in asked]
    assert statuses == [200, 429, 200, 200, 429, 200]
    assert [line["client"] for line in log.lines("exchange")] == asked
    assert [question.client for question in answerer.asked] == [asked[number] for number in (0, 2, 3, 5)]


async def test_an_untrusted_client_cannot_choose_its_address(serve: Serve) -> None:
    """Without trusted proxies the headers change nothing."""
    client = await serve(rate="1/h")
    statuses = [(await client.get("/ask?q=a", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status for n in range(3)]
    assert statuses == [200, 429, 429]


async def test_the_time_it_took_is_told(serve: Serve, log: Log) -> None:
    """The stage stands first in `Server-Timing` and in the log."""
    response = await (await serve(rate="9/s")).get("/ask?q=abc")
    assert response.headers["Server-Timing"].startswith("rate;dur=")
    assert log.lines("exchange")[0]["rate_ms"] >= 0


async def test_metrics(serve: Serve) -> None:
    """What was allowed and refused, the clients and the evictions are counted."""
    client = await serve(rate="1/h")
    for _ in range(3):
        await client.get("/ask?q=hello")
    text = await (await client.get("/metrics")).text()
    for line in (
        'askd_rate_results_total{result="allowed"} 1.0',
        'askd_rate_results_total{result="refused"} 2.0',
        "askd_rate_clients 1.0",
        "askd_rate_evictions_total 0.0",
    ):
        assert line in text
    assert "askd_redis" not in text


async def test_a_page_of_another_origin_reads_the_fields(serve: Serve) -> None:
    """Scripts may read both fields, also of a refusal."""
    client = await serve(rate="1/h", cors_origins="*")
    for status in (200, 429):
        response = await client.get("/ask?q=hello", headers={"Origin": "https://example.org"})
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert (response.status, {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)) == (status, True)


def test_a_caller_is_counted_by_its_name() -> None:
    """A token's name comes before the address, and is no address even if it looks like one."""
    admission = Admission(rate=Rate(Limit(1, 3600.0)))
    for record in (
        exchange(caller="alice", client="203.0.113.9"),
        exchange(caller="203.0.113.9", client="203.0.113.9"),
        exchange(client="203.0.113.9"),
    ):
        assert admission.admit({}, record) is None
    with pytest.raises(TooManyRequests):
        admission.admit({}, exchange(caller="alice", client="203.0.113.8"))


class Awaited:
    """A rate that must be awaited, and refuses."""

    def __init__(self) -> None:
        self.waits = True
        self.quota = Rate(Limit(1, 1.0)).quota
        self.asked: list[str] = []

    async def take(self, key: str) -> Verdict:
        """Refuse in a while."""
        self.asked.append(key)
        await asyncio.sleep(0)
        return self.quota.verdict(self.quota.depth, allowed=False)

    def statistics(self) -> RateStatistics:
        """Count nothing."""
        return RateStatistics(allowed=0, refused=0, clients=0, evictions=0)


async def test_a_shared_rate_is_awaited() -> None:
    """Where the rate is elsewhere, admission is over when it has answered, and refuses then."""
    shared = Awaited()
    record = exchange(client="2001:db8::1")
    admitted = Admission(rate=shared).admit({}, record)
    assert admitted is not None
    with pytest.raises(TooManyRequests) as refused:
        await admitted
    assert (shared.asked, refused.value.retry_after, record.stages.rate is not None) == (["2001:db8::/64"], 1, True)


def test_the_contract_tells_of_a_rate_where_there_is_one() -> None:
    """429 and the fields are documented with the setting, and not without."""
    limited = contract(Settings(rate=Limit(5, 1.0)))
    for method in ("get", "post"):
        found = limited["paths"]["/ask"][method]["responses"]
        assert {"RateLimit", "RateLimit-Policy"} <= set(found["200"]["headers"])
        assert found["429"] == {"$ref": "#/components/responses/TooManyRequests"}
        assert "429" not in contract()["paths"]["/ask"][method]["responses"]
        assert "RateLimit" not in contract()["paths"]["/ask"][method]["responses"]["200"]["headers"]
    headers = limited["components"]["responses"]["TooManyRequests"]["headers"]
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(headers)
