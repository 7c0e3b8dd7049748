"""Autoscaling: replicas follow the load, new ones get their share, and scaling down loses no request."""

import time

import pytest

from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import LoadGenerator, RequestKind, Sample, quantile, summarise
from tests.e2e.slow.namespaced_release import Release, wait_for_jsonpath
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

CONNECTION_MAX_AGE = 15.0
"""Seconds after which a connection is closed, so that its client connects to a new replica."""
DEADLINE = 5.0
CPU_QUERY = "q=hello&burn=0.004"
"""A request of 4 ms CPU time: with askd's own cost, 8 clients use 5 % of a core, 48 clients 25 %."""
SCALING_ACTIVE = "{.status.conditions[?(@.type=='ScalingActive')].status}"
VALUES = {
    "autoscaling.enabled": True,
    "autoscaling.minReplicas": 1,
    "autoscaling.maxReplicas": 4,
    "autoscaling.cpu.averageValue": "100m",
    "autoscaling.behavior.scaleDown": {
        "stabilizationWindowSeconds": 10,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
    "settings.connectionMaxAge": f"{CONNECTION_MAX_AGE:.0f}s",
    "settings.deadline": f"{DEADLINE:.0f}s",
}


def clients(count: int) -> RequestKind:
    """Return this number of keep-alive clients that send a request about once a second."""
    return RequestKind(name="cpu", query=CPU_QUERY, keepalive_connections=count, pause=1.0)


async def wait_for_scale_up(release: Release) -> tuple[float, int]:
    """Wait until the autoscaler has added replicas. Returns the time when they are ready, and their number."""
    path = "{.status.desiredReplicas}"
    desired = await wait_for_jsonpath(release.namespace, f"hpa/{release.name}", path, "2", "3", "4", limit=150)
    ready = ("2", "3", "4")[int(desired) - 2 :]
    replicas = await wait_for_jsonpath(
        release.namespace, f"deployment/{release.name}", "{.status.readyReplicas}", *ready
    )
    return time.monotonic(), int(replicas)


def fair_shares(samples: list[Sample]) -> dict[str, float]:
    """Return the share of each replica in the requests, relative to an equal share."""
    servers = [sample.server for sample in samples]
    names = set(servers)
    return {name: servers.count(name) * len(names) / len(servers) for name in names}


async def test_scaling_by_cpu(install: InstallRelease, results: ResultsTable) -> None:
    """Six times the load adds replicas within 60 s, which get their share; scaling down again loses no request."""
    release = await install(**VALUES)
    address = await release.address()
    async with LoadGenerator(address, [clients(8)]) as light_load:
        await wait_for_jsonpath(release.namespace, f"hpa/{release.name}", SCALING_ACTIVE, "True")
        await light_load.wait_for_requests(100)
    before = set(await release.pods())
    started_at = time.monotonic()
    async with LoadGenerator(address, [clients(48)]) as heavy_load:
        ready_at, count = await wait_for_scale_up(release)
        added = set(await release.pods()) - before
        await heavy_load.wait_for_requests(int(48 * (CONNECTION_MAX_AGE * 1.2)))
        settled_at = time.monotonic()
        await heavy_load.wait_for_requests(500)
    seconds = ready_at - started_at
    text = f"{len(before)} → {count} after {seconds:.0f} s"
    results.add("scaling", "load × 6, HPA on CPU", aim="new replicas < 60 s", measured=text, met=seconds < 60)
    p99 = quantile([sample for sample in heavy_load.samples if not sample.error], 0.99)
    shed = sum(sample.error.startswith("503 ") for sample in heavy_load.failures)
    text = (
        f"p99 {p99 * 1000:.0f} ms, {shed} of {len(heavy_load.samples)} shed, {len(heavy_load.failures) - shed} failed"
    )
    met = p99 < DEADLINE and shed == len(heavy_load.failures)
    results.add("scaling", "accepted requests during scale-up", aim="p99 < deadline", measured=text, met=met)

    kind = RequestKind(name="trickle", keepalive_connections=4, new_connections=1, pause=0.3)
    async with LoadGenerator(address, [kind]) as trickle:
        await wait_for_jsonpath(release.namespace, f"deployment/{release.name}", "{.status.replicas}", "1", limit=240)
        await release.wait_for_pod_termination()
        await trickle.wait_for_requests(30)
    results.add(
        "scaling", "scale-down to 1", aim="0 failed", measured=summarise(trickle.samples), met=not trickle.failures
    )

    shares = fair_shares(heavy_load.samples_since(settled_at))
    smallest = min(shares.get(name, 0.0) for name in added)
    delay = CONNECTION_MAX_AGE * 1.2
    text = (
        f"smallest of {len(added)} new replicas: {smallest:.2f} of an equal share, {delay:.0f} s after they were ready"
    )
    results.add("scaling", "share of new replicas", aim="≥ 0.5", measured=text, met=smallest >= 0.5)


async def test_unlimited_connection_age(install: InstallRelease, results: ResultsTable) -> None:
    """Without a maximum age of connections, a new replica gets no requests, so the test above can fail."""
    release = await install(replicaCount=1, settings__connectionMaxAge="0")
    before = set(await release.pods())
    async with LoadGenerator(
        await release.address(), [RequestKind(name="keep-alive", keepalive_connections=8, pause=0.05)]
    ) as load:
        await load.wait_for_requests(50)
        await release.scale(2)
        started_at = time.monotonic()
        await load.wait_for_requests(1000)
    servers = {sample.server for sample in load.samples_since(started_at)}
    text = f"{len(servers - before)} of 1 new replicas got requests, of {len(load.samples_since(started_at))} requests"
    results.add("scaling", "unlimited connection age", aim="none", measured=text, met=servers == before)
