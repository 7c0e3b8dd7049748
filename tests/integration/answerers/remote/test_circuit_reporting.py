"""Tests of how the circuit's state is reported: in probes, metrics and `askd check`."""

import asyncio

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from askd.answerers.remote import LangGraphAnswerer
from askd.app import ANSWERERS, LOAD_TASK, create_app
from askd.circuit_breaker import MIN_REQUESTS
from askd.cli import check_report
from askd.config import Settings
from tests.integration.answerers.remote.conftest import StartServer
from tests.support.fake_langgraph_server import FakeLangGraph, langgraph_answerer


async def scrape_upstream_metrics(client: ClientSession, url: str) -> dict[str, float]:
    """Return the upstream metrics by name and label values."""
    async with client.get(f"{url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("askd_upstream")]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


async def serve(app: web.Application, start: StartServer) -> str:
    """Start a server, wait until its answerer is loaded, and return its URL."""
    url = await start(app)
    await app[LOAD_TASK]
    return url


async def test_metrics_and_probes(fake: FakeLangGraph, base: str, start: StartServer, unreachable_url: str) -> None:
    """Metrics and readiness report the open circuit and the requests; liveness does not depend on it."""
    answerer = langgraph_answerer(base)
    url = await serve(create_app(Settings(), answerer=answerer), start)
    async with ClientSession() as client:
        before = await scrape_upstream_metrics(client, url)
        assert (before["askd_upstream_circuit_state closed"], before["askd_upstream_circuit_state open"]) == (1.0, 0.0)
        answerer.upstream.base_url = unreachable_url
        for _ in range(MIN_REQUESTS + 2):
            async with client.get(f"{url}/ask?q=hi") as response:
                assert (response.status, response.headers["Retry-After"].isdigit()) == (503, True)
        after = await scrape_upstream_metrics(client, url)
        assert (after["askd_upstream_circuit_state closed"], after["askd_upstream_circuit_state open"]) == (0.0, 1.0)
        assert after["askd_upstream_circuit_openings_total"] == 1.0
        assert after["askd_upstream_requests_total failed"] == MIN_REQUESTS
        assert after["askd_upstream_requests_total refused"] == 2.0
        await asyncio.wait_for(wait_for_readiness_text(client, url, "circuit open, next trial in"), 30)
        async with client.get(f"{url}/livez") as response:
            assert response.status == 200


async def wait_for_readiness_text(client: ClientSession, url: str, text: str) -> int:
    """Wait until the readiness report contains the text, and return its status."""
    while True:
        async with client.get(f"{url}/readyz?verbose") as response:
            if text in await response.text():
                return response.status


async def test_probe_fails_if_upstream_is_required(base: str, start: StartServer, unreachable_url: str) -> None:
    """With `ASKD_READINESS_REQUIRES_UPSTREAM`, readiness fails while the circuit is open."""
    settings = Settings(answerer=base, readiness_requires_upstream=True, port=0)
    app = create_app(settings)
    url = await serve(app, start)
    async with ClientSession() as client:
        answerer = app[ANSWERERS][0].answerer
        assert isinstance(answerer, LangGraphAnswerer)
        answerer.upstream.base_url = unreachable_url
        for _ in range(MIN_REQUESTS):
            async with client.get(f"{url}/ask?q=hi") as response:
                assert response.status == 503
        assert await asyncio.wait_for(wait_for_readiness_text(client, url, "ready_hook: circuit"), 30) == 503


@pytest.mark.parametrize("readiness_requires_upstream", [False, True])
def test_check_report(unreachable_url: str, *, readiness_requires_upstream: bool) -> None:
    """`askd check` describes the circuit breaker of remote answerers only."""
    lines, _ = check_report.build_report(
        Settings(answerer=unreachable_url, readiness_requires_upstream=readiness_requires_upstream)
    )
    circuit_line = next(line for line in lines if line.startswith("circuit"))
    readiness = "fails while it is open" if readiness_requires_upstream else "does not depend on it"
    assert circuit_line == (
        f"circuit        opens if 50% of the last 20 requests failed, retries after 1s to 8s; readiness {readiness}"
    )
    assert not any(line.startswith("circuit") for line in check_report.build_report(Settings())[0])
