"""Ops endpoints: health checks and metrics."""

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.registry import Collector

from askd.app import HEALTH, LOAD_TASK, create_app, create_ops_app
from askd.config import Settings
from askd.guards.health import Health
from askd.telemetry.metrics import CombinedCollector, Metrics
from tests.support.app_fixtures import AskdTestServer, Client, Log, ServeApp
from tests.support.fakes import Clock, UppercaseAnswerer

StartOpsApp = Callable[[], Awaitable[tuple[Client, Health, Clock]]]
RegisterCollector = Callable[[Any], Any]
PROBES = ["/livez", "/healthz", "/readyz", "/startupz"]
OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def start_ops_app(aiohttp_client: Callable[..., Awaitable[Client]]) -> StartOpsApp:
    """Serve the ops endpoints with a health state whose clock the test advances."""

    async def start() -> tuple[Client, Health, Clock]:
        clock = Clock()
        health = Health(30.0, clock=clock)
        app = create_ops_app(Settings(), health, Metrics([1.0]))
        return await aiohttp_client(AskdTestServer(app)), health, clock

    return start


async def probe_statuses(client: Client) -> list[int]:
    """Return the status of every health check."""
    return [(await client.get(path)).status for path in PROBES]


async def test_lifecycle(start_ops_app: StartOpsApp) -> None:
    """Alive from the start; ready and started after the load; not ready while draining."""
    client, health, _ = await start_ops_app()
    assert await probe_statuses(client) == [200, 200, 503, 503]
    health.answerers[""].set_loaded("the book")
    assert await probe_statuses(client) == [200, 200, 200, 200]
    health.drain_state.is_draining = True
    assert await probe_statuses(client) == [200, 200, 503, 200]


async def test_stalled_event_loop(start_ops_app: StartOpsApp) -> None:
    """If the event loop stalls, readiness fails after 5 s and liveness after the limit; a heartbeat restores both."""
    client, health, clock = await start_ops_app()
    health.answerers[""].set_loaded("the book")
    for seconds, expected in [(5.0, [200, 200, 200, 200]), (0.1, [200, 200, 503, 200]), (24.9, [200, 200, 503, 200])]:
        clock.advance(seconds)
        assert await probe_statuses(client) == expected
    clock.advance(0.1)
    assert await probe_statuses(client) == [503, 503, 503, 200]
    health.record_heartbeat()
    assert await probe_statuses(client) == [200, 200, 200, 200]


async def test_failed_check_is_explained(start_ops_app: StartOpsApp) -> None:
    """A 503 is a problem with Retry-After, the reason and all checks."""
    client, health, _ = await start_ops_app()
    health.answerers[""].set_progress("entry 5 of 10")
    response = await client.get("/readyz")
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, response.headers["Retry-After"], problem["type"]) == (503, "1", "/docs#unavailable")
    assert (problem["detail"], response.headers["Cache-Control"]) == ("answerer: entry 5 of 10", "no-store")
    assert [(check["name"], check["ok"]) for check in problem["checks"]] == [
        ("event_loop", True),
        ("phase", True),
        ("answerer", False),
        ("ready_hook", True),
        ("slots", True),
    ]


async def test_verbose_lists_checks(start_ops_app: StartOpsApp) -> None:
    """`?verbose`, with or without a value, adds the individual checks."""
    client, health, _ = await start_ops_app()
    health.answerers[""].set_loaded("the book")
    assert await (await client.get("/readyz")).json() == {"status": "ok"}
    for query in ("verbose", "verbose=1"):
        body = await (await client.get(f"/readyz?{query}")).json()
        assert ({"name": "answerer", "ok": True, "detail": "the book"} in body["checks"], len(body["checks"])) == (
            True,
            5,
        )
    assert [check["name"] for check in (await (await client.get("/livez?verbose")).json())["checks"]] == ["event_loop"]


async def test_ready_hook_affects_readiness_only(start_ops_app: StartOpsApp) -> None:
    """A failed ready hook of the user's code fails readiness, not liveness."""
    client, health, _ = await start_ops_app()
    health.answerers[""].set_loaded("the book")
    health.answerers[""].set_ready_hook_result(ok=False, detail="the model is cold")
    assert await probe_statuses(client) == [200, 200, 503, 200]
    assert (await (await client.get("/readyz")).json(content_type=None))["detail"] == "ready_hook: the model is cold"


async def test_ops_port_serves_only_ops_endpoints(start_ops_app: StartOpsApp, log: Log) -> None:
    """On the ops port, other paths are a 404 problem."""
    client, _, _ = await start_ops_app()
    for path in ("/ask?q=hello", "/", "/docs"):
        response = await client.get(path)
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_main_port_has_no_ops_endpoints_with_ops_port(serve: ServeApp) -> None:
    """With an ops port, the main port does not serve the ops endpoints."""
    client = await serve(ops_port="0")
    assert [(await client.get(path)).status for path in (*PROBES, "/metrics")] == [404] * 5
    assert "livez" not in (await (await client.get("/")).json())["links"]


async def test_prometheus_text(serve: ServeApp) -> None:
    """The default format is Prometheus text, and each metric has a help text."""
    client = await serve()
    await client.get("/ask?q=abc")
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families_by_name = {family.name: family for family in families(await response.text())}
    expected = {"http_server_request_duration_seconds", "http_server_active_requests", "askd_answerer_duration_seconds"}
    expected |= {
        "askd_answerer_in_flight",
        "askd_cache_lookups",
        "askd_cache_evictions",
        "askd_event_loop_lag_seconds",
        "askd_build_info",
    }
    expected |= {"askd_ready", "askd_answerer_info", "process_cpu_seconds", "python_info"}
    assert expected <= set(families_by_name)
    assert all(families_by_name[name].documentation for name in expected)
    assert families_by_name["askd_answerer_info"].samples[0].labels == {"kind": "fake", "version": "v1"}


async def test_openmetrics(serve: ServeApp) -> None:
    """A client that accepts OpenMetrics gets a document that the strict parser accepts."""
    client = await serve()
    await client.get("/ask?q=abc")
    response = await client.get("/metrics", headers={"Accept": OPENMETRICS})
    text = await response.text()
    assert (response.content_type, text.endswith("# EOF\n")) == ("application/openmetrics-text", True)
    strict: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
    assert "http_server_request_duration_seconds" in [family.name for family in strict(text)]


async def test_metrics_are_compressed_on_request(serve: ServeApp) -> None:
    """Metrics are gzipped only for clients that accept it."""
    client = await serve()
    compressed = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert (compressed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert (compressed.headers["Cache-Control"], "askd_ready" in await compressed.text()) == ("no-store", True)


@pytest.fixture
def register_user_collector() -> Iterator[RegisterCollector]:
    """Register collectors in the default registry, as user code does; unregister them after the test."""
    registered: list[Collector] = []

    def add(collector: Any) -> Any:
        REGISTRY.register(collector)
        registered.append(collector)
        return collector

    yield add
    for collector in registered:
        REGISTRY.unregister(collector)


async def test_user_metrics_are_included(serve: ServeApp, register_user_collector: RegisterCollector) -> None:
    """Metrics of the default registry are included, unless askd has a metric of that name."""
    register_user_collector(Counter("answers_given", "By the user's code.", registry=None)).inc(3)
    register_user_collector(Gauge("askd_ready", "A name that is taken.", registry=None)).set(7)
    text = await (await (await serve()).get("/metrics")).text()
    assert "\nanswers_given_total 3.0\n" in text
    assert ("\naskd_ready 1.0\n" in text, "\naskd_ready 7.0\n" in text) == (True, False)
    names = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


class BrokenCollector(Collector):
    """A user's collector that fails at each scrape."""

    def collect(self) -> Iterable[Metric]:
        """Raise an error."""
        raise RuntimeError("a secret of the code")

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering does not collect."""
        return ()


async def test_broken_user_collector_is_skipped(
    serve: ServeApp, register_user_collector: RegisterCollector, log: Log
) -> None:
    """If a user's collector fails, askd's metrics are still served, and the failure is logged."""
    register_user_collector(BrokenCollector())
    response = await (await serve()).get("/metrics")
    text = await response.text()
    assert (response.status, "askd_ready 1.0" in text, "secret" in text) == (200, True, False)
    assert "a secret of the code" in log.lines("metrics_collector_failed")[0]["exception"]


async def test_metrics_are_collected_in_a_thread(serve: ServeApp, register_user_collector: RegisterCollector) -> None:
    """Collectors do not run on the event loop's thread."""
    threads = []

    class ThreadRecorder(BrokenCollector):
        """Records the thread in which it is called."""

        def collect(self) -> Iterable[Metric]:
            """Record the thread."""
            threads.append(threading.current_thread())
            return ()

    register_user_collector(ThreadRecorder())
    await (await serve()).get("/metrics")
    assert (len(threads), threading.main_thread() in threads) == (1, False)


def test_own_metrics_come_first() -> None:
    """Metrics of askd come before those of the default registry."""
    own, default = CollectorRegistry(), CollectorRegistry()
    Gauge("b", "Own.", registry=own)
    Gauge("a", "Other.", registry=default)
    assert [family.name for family in CombinedCollector(own, default).collect()] == ["b", "a"]


async def test_main_app_uses_the_given_health(aiohttp_client: Callable[..., Awaitable[Client]]) -> None:
    """The health checks of the main port read the Health object that was passed in."""
    clock = Clock()
    health = Health(30.0, clock=clock)
    app = create_app(Settings(), answerer=UppercaseAnswerer(), health=health)
    client = await aiohttp_client(AskdTestServer(app))
    assert app[HEALTH] is health
    await app[LOAD_TASK]
    health.drain_state.is_draining = True
    assert (await (await client.get("/readyz")).json(content_type=None))["detail"] == "phase: draining"
    assert "\naskd_draining 1.0\n" in await (await client.get("/metrics")).text()
