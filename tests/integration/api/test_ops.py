"""Ops endpoints: probes and metrics, as the platform asks for them."""

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.registry import Collector

from service.app import HEALTH, LOADED, create_app, create_ops_app
from service.guards.health import Health
from service.settings import Settings
from service.telemetry.metrics import Both, Metrics
from tests.fakes import Clock, Upper
from tests.web.conftest import Client, Log, Serve

Probed = Callable[[], Awaitable[tuple[Client, Health, Clock]]]
Users = Callable[[Any], Any]
PROBES = ["/livez", "/healthz", "/readyz", "/startupz"]
OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def probed(aiohttp_client: Callable[..., Awaitable[Client]]) -> Probed:
    """Serve the ops endpoints over a health whose clock the test moves."""

    async def start() -> tuple[Client, Health, Clock]:
        clock = Clock()
        health = Health(30.0, clock=clock)
        app = create_ops_app(Settings(), health, Metrics([1.0]))
        return await aiohttp_client(TestServer(app)), health, clock

    return start


async def statuses(client: Client) -> list[int]:
    """Ask every probe."""
    return [(await client.get(path)).status for path in PROBES]


async def test_a_server_starts_serves_and_drains(probed: Probed) -> None:
    """Live from the first moment; ready and started when loaded; when draining live and started alone."""
    client, health, _ = await probed()
    assert await statuses(client) == [200, 200, 503, 503]
    health.loaded("the book")
    assert await statuses(client) == [200, 200, 200, 200]
    health.draining()
    assert await statuses(client) == [200, 200, 503, 200]


async def test_a_stall_ends_readiness_then_liveness(probed: Probed) -> None:
    """When the main loop stands still readiness fails after 5 s, liveness after the limit; a beat mends both."""
    client, health, clock = await probed()
    health.loaded("the book")
    for seconds, expected in [(5.0, [200, 200, 200, 200]), (0.1, [200, 200, 503, 200]), (24.9, [200, 200, 503, 200])]:
        clock.advance(seconds)
        assert await statuses(client) == expected
    clock.advance(0.1)
    assert await statuses(client) == [503, 503, 503, 200]
    health.beat()
    assert await statuses(client) == [200, 200, 200, 200]


async def test_a_probe_that_fails_says_why(probed: Probed) -> None:
    """503 is a problem with Retry-After; its detail has the reason, its checks what was looked at."""
    client, health, _ = await probed()
    health.progress("entry 5 of 10")
    response = await client.get("/readyz")
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, response.headers["Retry-After"], problem["type"]) == (503, "1", "/docs#unavailable")
    assert (problem["detail"], response.headers["Cache-Control"]) == ("answerer: entry 5 of 10", "no-store")
    assert [(check["name"], check["ok"]) for check in problem["checks"]] == [
        ("loop", True),
        ("phase", True),
        ("answerer", False),
        ("code", True),
        ("places", True),
    ]


async def test_verbose_shows_each_check(probed: Probed) -> None:
    """`?verbose`, with a value or none, adds what was looked at; without it the answer is short."""
    client, health, _ = await probed()
    health.loaded("the book")
    assert await (await client.get("/readyz")).json() == {"status": "ok"}
    for query in ("verbose", "verbose=1"):
        shown = await (await client.get(f"/readyz?{query}")).json()
        assert ({"name": "answerer", "ok": True, "detail": "the book"} in shown["checks"], len(shown["checks"])) == (
            True,
            5,
        )
    assert [check["name"] for check in (await (await client.get("/livez?verbose")).json())["checks"]] == ["loop"]


async def test_the_codes_own_readiness_counts(probed: Probed) -> None:
    """What the code's ready hook says decides readiness alone."""
    client, health, _ = await probed()
    health.loaded("the book")
    health.code_ready(ok=False, detail="the model is cold")
    assert await statuses(client) == [200, 200, 503, 200]
    assert (await (await client.get("/readyz")).json(content_type=None))["detail"] == "code: the model is cold"


async def test_nothing_else_is_on_the_ops_port(probed: Probed, log: Log) -> None:
    """Questions and pages are not on the ops port, and its own 404 is a problem too."""
    client, _, _ = await probed()
    for path in ("/ask?q=hello", "/", "/docs"):
        response = await client.get(path)
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_with_an_ops_port_the_other_has_no_ops_endpoints(serve: Serve) -> None:
    """With a port of their own the ops endpoints are only there."""
    client = await serve(ops_port="0")
    assert [(await client.get(path)).status for path in (*PROBES, "/metrics")] == [404] * 5
    assert "livez" not in (await (await client.get("/")).json())["links"]


async def test_prometheus_text_can_be_read(serve: Serve) -> None:
    """A plain scrape is the text format, and has what the issue names, each with help."""
    client = await serve()
    await client.get("/ask?q=abc")
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    found = {family.name: family for family in families(await response.text())}
    wanted = {"askd_requests", "askd_request_duration_seconds", "askd_answerer_duration_seconds", "askd_in_flight"}
    wanted |= {
        "askd_answerer_in_flight",
        "askd_cache_results",
        "askd_cache_evictions",
        "askd_event_loop_lag_seconds",
        "askd_build_info",
    }
    wanted |= {"askd_ready", "askd_answerer_info", "process_cpu_seconds", "python_info"}
    assert wanted <= set(found)
    assert all(found[name].documentation for name in wanted)
    assert found["askd_answerer_info"].samples[0].labels == {"kind": "fake", "version": "v1"}


async def test_openmetrics_can_be_read(serve: Serve) -> None:
    """A client that asks for OpenMetrics gets it, whole to its end, which its strict parser accepts."""
    client = await serve()
    await client.get("/ask?q=abc")
    response = await client.get("/metrics", headers={"Accept": OPENMETRICS})
    text = await response.text()
    assert (response.content_type, text.endswith("# EOF\n")) == ("application/openmetrics-text", True)
    strict: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
    assert "askd_requests" in [family.name for family in strict(text)]


async def test_scrapes_are_compressed_where_that_is_taken(serve: Serve) -> None:
    """A scrape is gzipped for a client that says so, and only then."""
    client = await serve()
    packed = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert (packed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert (packed.headers["Cache-Control"], "askd_ready" in await packed.text()) == ("no-store", True)


@pytest.fixture
def users() -> Iterator[Users]:
    """Register collectors where users' code does; they are gone after the test."""
    registered: list[Collector] = []

    def add(collector: Any) -> Any:
        REGISTRY.register(collector)
        registered.append(collector)
        return collector

    yield add
    for collector in registered:
        REGISTRY.unregister(collector)


async def test_the_users_metrics_are_shown_and_nothing_twice(serve: Serve, users: Users) -> None:
    """What the code puts into the default registry is scraped too; a name that is askd's stays askd's."""
    users(Counter("answers_given", "By the user's code.", registry=None)).inc(3)
    users(Gauge("askd_ready", "A name that is taken.", registry=None)).set(7)
    text = await (await (await serve()).get("/metrics")).text()
    assert "\nanswers_given_total 3.0\n" in text
    assert ("\naskd_ready 1.0\n" in text, "\naskd_ready 7.0\n" in text) == (True, False)
    names = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


class Broken(Collector):
    """A collector of the user's that fails at each scrape."""

    def collect(self) -> Iterable[Metric]:
        """Fail."""
        raise RuntimeError("a secret of the code")

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering does not collect."""
        return ()


async def test_a_broken_collector_costs_its_own_part_alone(serve: Serve, users: Users, log: Log) -> None:
    """Where the user's collector raises, askd's own metrics are still scraped, and the log says why the rest is not."""
    users(Broken())
    response = await (await serve()).get("/metrics")
    text = await response.text()
    assert (response.status, "askd_ready 1.0" in text, "secret" in text) == (200, True, False)
    assert "a secret of the code" in log.lines("a collector in the default registry failed")[0]["exception"]


async def test_a_scrape_is_made_off_the_loop(serve: Serve, users: Users) -> None:
    """Collectors run in a thread other than the loop's."""
    threads = []

    class Watching(Broken):
        """Notes the thread that it is asked in."""

        def collect(self) -> Iterable[Metric]:
            """Note the thread."""
            threads.append(threading.current_thread())
            return ()

    users(Watching())
    await (await serve()).get("/metrics")
    assert (len(threads), threading.main_thread() in threads) == (1, False)


def test_both_registries_are_read_in_order() -> None:
    """Families of askd's own come first."""
    own, others = CollectorRegistry(), CollectorRegistry()
    Gauge("b", "Own.", registry=own)
    Gauge("a", "Other.", registry=others)
    assert [family.name for family in Both(own, others).collect()] == ["b", "a"]


async def test_the_main_app_has_the_same_health(aiohttp_client: Callable[..., Awaitable[Client]]) -> None:
    """A health that is given is the one that the probes of the main port read."""
    clock = Clock()
    health = Health(30.0, clock=clock)
    app = create_app(Settings(), answerer=Upper(), health=health)
    client = await aiohttp_client(TestServer(app))
    assert app[HEALTH] is health
    await app[LOADED]
    health.draining()
    assert (await (await client.get("/readyz")).json(content_type=None))["detail"] == "phase: draining"
    assert "\naskd_draining 1.0\n" in await (await client.get("/metrics")).text()
