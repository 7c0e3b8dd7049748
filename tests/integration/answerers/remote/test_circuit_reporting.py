"""What people and machines are told of the circuit: probes, metrics, the log, `askd check`."""

import asyncio

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from service import check
from service.answerers.remote import LangGraph
from service.app import ANSWERER, LOADED, create_app
from service.guards.circuit import LEAST
from service.settings import Settings

from .conftest import Start
from .fakes import FakeLangGraph, langgraph

REQUESTS = "askd_upstream_requests_total"


async def measured(client: ClientSession, front: str) -> dict[str, float]:
    """The metrics of the server behind, by name and label."""
    async with client.get(f"{front}/metrics") as reply:
        families = text_string_to_metric_families(await reply.text())
    samples = [each for family in families for each in family.samples if each.name.startswith("askd_upstream")]
    return {" ".join((each.name, *each.labels.values())): each.value for each in samples}


async def served(app: web.Application, start: Start) -> str:
    """Serve an app whose answerer has been loaded, and give its URL."""
    front = await start(app)
    await app[LOADED]
    return front


async def test_a_server_that_goes(fake: FakeLangGraph, base: str, start: Start, nowhere: str) -> None:
    """The circuit's state, its openings and all requests are metrics; readiness says the state; liveness stays."""
    answerer = langgraph(base)
    front = await served(create_app(Settings(), answerer=answerer), start)
    async with ClientSession() as client:
        before = await measured(client, front)
        assert (before["askd_upstream_circuit_state closed"], before["askd_upstream_circuit_state open"]) == (1.0, 0.0)
        answerer.upstream.base = nowhere
        for _ in range(LEAST + 2):
            async with client.get(f"{front}/ask?q=hi") as reply:
                assert (reply.status, reply.headers["Retry-After"].isdigit()) == (503, True)
        after = await measured(client, front)
        assert (after["askd_upstream_circuit_state closed"], after["askd_upstream_circuit_state open"]) == (0.0, 1.0)
        assert after["askd_upstream_circuit_openings_total"] == 1.0
        assert (after[f"{REQUESTS} failed"], after[f"{REQUESTS} refused"]) == (LEAST, 2.0)
        await asyncio.wait_for(said(client, front, "circuit open, next trial in"), 30)
        async with client.get(f"{front}/livez") as reply:
            assert reply.status == 200


async def said(client: ClientSession, front: str, words: str) -> int:
    """Wait until readiness says the words, and return its status."""
    while True:
        async with client.get(f"{front}/readyz?verbose") as reply:
            if words in await reply.text():
                return reply.status


async def test_readiness_with_the_setting(base: str, start: Start, nowhere: str) -> None:
    """With `ASKD_READY_NEEDS_ANSWERER` readiness fails while the circuit is open."""
    settings = Settings(answerer=base, ready_needs_answerer=True, port=0)
    app = create_app(settings)
    front = await served(app, start)
    async with ClientSession() as client:
        answerer = app[ANSWERER]
        assert isinstance(answerer, LangGraph)
        answerer.upstream.base = nowhere
        for _ in range(LEAST):
            async with client.get(f"{front}/ask?q=hi") as reply:
                assert reply.status == 503
        assert await asyncio.wait_for(said(client, front, "code: circuit"), 30) == 503


@pytest.mark.parametrize("needed", [False, True])
def test_check(nowhere: str, *, needed: bool) -> None:
    """`askd check` says what opens the circuit, and whether readiness depends on it; a book has no such line."""
    lines = check.report(Settings(answerer=nowhere, ready_needs_answerer=needed))
    found = next(line for line in lines if line.startswith("circuit"))
    how = "readiness fails then" if needed else "readiness does not depend on it"
    assert found == f"circuit        opens when 50% of the last 20 requests failed, a trial every 1s to 8s; {how}"
    assert not any(line.startswith("circuit") for line in check.report(Settings()))
