"""Rate limits over HTTP: which requests count, and which headers clients get."""

import asyncio

import pytest

from askd.api.admission import AdmissionControl
from askd.config import Settings
from askd.context import RequestContext
from askd.errors import TooManyRequests
from askd.guards.rate_limit import LocalRateLimiter
from askd.quota import RateLimitDecision, RateLimitStatistics
from askd.rate import Rate
from tests.support.app_fixtures import Log, ServeApp
from tests.support.fakes import UppercaseAnswerer
from tests.support.openapi_answerers import openapi_document

LOCALHOST = "127.0.0.0/8"


def make_context(**fields: str) -> RequestContext:
    """Return a request context with these fields."""
    return RequestContext(request_id="1", method="GET", route="/ask", arrived_at=0.0, **fields)  # type: ignore[arg-type]  # all are strings


async def test_client_over_its_limit_gets_429(serve: ServeApp) -> None:
    """The problem and both headers agree on when to retry; the answerer is not called; other clients are admitted."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer, rate_limit="2/h", trusted_proxies=LOCALHOST)
    statuses = [(await client.get("/ask?q=a")).status for _ in range(2)]
    rejected = await client.get("/ask?q=a")
    problem = await rejected.json()
    assert (statuses, rejected.status, rejected.content_type) == ([200, 200], 429, "application/problem+json")
    assert problem["type"].endswith("#too-many-requests")
    wait_seconds = int(rejected.headers["Retry-After"])
    assert 1795 <= wait_seconds <= 1800
    assert rejected.headers["RateLimit"] == f'"default";r=0;t={wait_seconds}'
    assert rejected.headers["RateLimit-Policy"] == '"default";q=2;w=3600'
    assert problem["detail"] == f"Rate limit exceeded. Retry in {wait_seconds} s."
    assert len(answerer.questions) == 2
    assert (await client.get("/ask?q=a", headers={"X-Forwarded-For": "203.0.113.9"})).status == 200


async def test_responses_have_rate_limit_headers(serve: ServeApp) -> None:
    """Answers, streams, errors and 304 responses have both headers, including the burst."""
    client = await serve(rate_limit="60/m", rate_burst="6")
    requests: list[tuple[str, dict[str, str], int]] = [
        ("/ask?q=hello", {}, 200),
        ("/ask?q=abc", {"Accept": "text/event-stream"}, 200),
        ("/ask?q=boom", {}, 500),
        ("/ask", {}, 400),
        ("/ask?q=hello", {"If-None-Match": "*"}, 304),
    ]
    for remaining, (path, headers, status) in zip((5, 4, 3, 2, 1), requests, strict=True):
        response = await client.get(path, headers=headers)
        assert response.status == status
        assert response.headers["RateLimit"].startswith(f'"default";r={remaining};t=')
        assert response.headers["RateLimit-Policy"] == '"default";q=60;w=60;askd-burst=6'


async def test_no_headers_without_rate_limit(serve: ServeApp) -> None:
    """Without the setting there are no headers, no stage and no metrics."""
    client = await serve()
    response = await client.get("/ask?q=hello")
    assert not [name for name in response.headers if name.lower().startswith("ratelimit")]
    assert "rate_limit;" not in response.headers["Server-Timing"]
    assert "askd_rate" not in await (await client.get("/metrics")).text()


async def test_only_questions_are_counted(serve: ServeApp) -> None:
    """Pages, ops endpoints, preflights and requests that match no route do not count."""
    client = await serve(rate_limit="1/h", cors_origins="*")
    for method, path in [("GET", "/docs"), ("GET", "/"), ("GET", "/metrics"), ("OPTIONS", "/ask"), ("PUT", "/ask")]:
        for _ in range(2):
            response = await client.request(method, path)
            assert response.status != 429
            assert "RateLimit" not in response.headers
    assert (await client.get("/ask?q=hello")).status == 200
    assert (await client.post("/ask", json={"q": "hello"})).status == 429


async def test_clients_behind_a_trusted_proxy_have_separate_limits(serve: ServeApp, log: Log) -> None:
    """Each IPv4 address and each IPv6 network has its own quota; the log and the answerer see the full address."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer, rate_limit="1/h", trusted_proxies=LOCALHOST)
    addresses = ["203.0.113.9", "203.0.113.9", "203.0.113.8", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    statuses = [(await client.get("/ask?q=a", headers={"X-Forwarded-For": address})).status for address in addresses]
    assert statuses == [200, 429, 200, 200, 429, 200]
    assert [line["client.address"] for line in log.lines("request")] == addresses
    assert [question.client for question in answerer.questions] == [addresses[number] for number in (0, 2, 3, 5)]


async def test_forwarded_headers_of_untrusted_clients_are_ignored(serve: ServeApp) -> None:
    """Without trusted proxies, X-Forwarded-For does not change the client's address."""
    client = await serve(rate_limit="1/h")
    statuses = [(await client.get("/ask?q=a", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status for n in range(3)]
    assert statuses == [200, 429, 429]


async def test_duration_is_reported(serve: ServeApp, log: Log) -> None:
    """The time of the rate limit check is in `Server-Timing` and in the log."""
    response = await (await serve(rate_limit="9/s")).get("/ask?q=abc")
    assert response.headers["Server-Timing"].startswith("rate_limit;dur=")
    assert log.lines("request")[0]["rate_limit_ms"] >= 0


async def test_metrics_count_decisions(serve: ServeApp) -> None:
    """Metrics count allowed and rejected requests, clients and evictions."""
    client = await serve(rate_limit="1/h")
    for _ in range(3):
        await client.get("/ask?q=hello")
    text = await (await client.get("/metrics")).text()
    for line in (
        'askd_rate_limit_decisions_total{result="allowed"} 1.0',
        'askd_rate_limit_decisions_total{result="refused"} 2.0',
        "askd_rate_limit_clients 1.0",
        "askd_rate_limit_evictions_total 0.0",
    ):
        assert line in text
    assert "askd_redis" not in text


async def test_cors_exposes_rate_limit_headers(serve: ServeApp) -> None:
    """Scripts of other origins can read the headers, also those of a 429."""
    client = await serve(rate_limit="1/h", cors_origins="*")
    for status in (200, 429):
        response = await client.get("/ask?q=hello", headers={"Origin": "https://example.org"})
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert (response.status, {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)) == (status, True)


def test_callers_are_counted_by_name() -> None:
    """The caller's name takes precedence over the address, and is not confused with an address."""
    admission = AdmissionControl(rate_limiter=LocalRateLimiter(Rate(1, 3600.0)))
    for context in (
        make_context(caller="alice", client="203.0.113.9"),
        make_context(caller="203.0.113.9", client="203.0.113.9"),
        make_context(client="203.0.113.9"),
    ):
        assert admission.check({}, context) is None
    with pytest.raises(TooManyRequests):
        admission.check({}, make_context(caller="alice", client="203.0.113.8"))


class AsyncRejectingLimiter:
    """A rate limiter that must be awaited and rejects every request."""

    def __init__(self) -> None:
        self.is_async = True
        self.quota = LocalRateLimiter(Rate(1, 1.0)).quota
        self.keys: list[str] = []

    async def try_acquire(self, key: str) -> RateLimitDecision:
        """Reject after one iteration of the event loop."""
        self.keys.append(key)
        await asyncio.sleep(0)
        return self.quota.make_decision(self.quota.burst_seconds, allowed=False)

    def statistics(self) -> RateLimitStatistics:
        """Return zeros."""
        return RateLimitStatistics(allowed=0, rejected=0, clients=0, evictions=0)


async def test_async_rate_limiter_is_awaited() -> None:
    """With an async limiter, admission ends with its decision."""
    limiter = AsyncRejectingLimiter()
    context = make_context(client="2001:db8::1")
    admitted = AdmissionControl(rate_limiter=limiter).check({}, context)
    assert admitted is not None
    with pytest.raises(TooManyRequests) as rejected:
        await admitted
    assert (limiter.keys, rejected.value.retry_after, context.stages.rate_limit is not None) == (
        ["2001:db8::/64"],
        1,
        True,
    )


def test_openapi_documents_rate_limit() -> None:
    """The document has the 429 and the headers only with the setting."""
    limited = openapi_document(Settings(rate_limit=Rate(5, 1.0)))
    for method in ("get", "post"):
        responses = limited["paths"]["/ask"][method]["responses"]
        assert {"RateLimit", "RateLimit-Policy"} <= set(responses["200"]["headers"])
        assert responses["429"] == {"$ref": "#/components/responses/TooManyRequests"}
        assert "429" not in openapi_document()["paths"]["/ask"][method]["responses"]
        assert "RateLimit" not in openapi_document()["paths"]["/ask"][method]["responses"]["200"]["headers"]
    headers = limited["components"]["responses"]["TooManyRequests"]["headers"]
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(headers)
