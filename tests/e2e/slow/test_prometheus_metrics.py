"""Metrics: Prometheus discovers every pod, scrapes ready pods during rollouts, and the saturation query is right."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import yaml

from tests.e2e.slow.cluster_prometheus import SCRAPE_INTERVAL, Prometheus
from tests.e2e.slow.command import run_command, stream_lines
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import FAST, LoadGenerator, OpenLoopLoad
from tests.e2e.slow.namespaced_release import CHART, Namespace, set_json_options
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

CONCURRENCY = 8
"""Concurrency limit of the replica."""
CALL_SECONDS = 0.5
"""Duration of each call of the answerer."""
WINDOW = 20
"""Time range of the rates in seconds."""
POD_TIMES = (
    "{.metadata.name} {.metadata.deletionTimestamp} {.metadata.deletionGracePeriodSeconds} "
    "{.status.conditions[?(@.type=='ContainersReady')].status}"
)


class PodLifecycles:
    """Times at which pods became ready and began to terminate, in seconds since 1970."""

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.terminating: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def watch(self, namespace: Namespace) -> AsyncIterator[None]:
        """Record the times during the block."""
        arguments = ("get", "pods", "--watch", f"--output=jsonpath={POD_TIMES}{{'\\n'}}")
        async with stream_lines("kubectl", "--namespace", namespace.name, *arguments, timeout=900) as lines:
            reading = asyncio.create_task(self._read(lines))
            try:
                yield
            finally:
                reading.cancel()
                await asyncio.wait({reading})

    async def _read(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            name, *rest = line.split()
            if len(rest) > 1:
                end = datetime.fromisoformat(rest[0]).timestamp()
                self.terminating.setdefault(name, end - float(rest[1]))
            elif rest == ["True"]:
                self.ready.setdefault(name, time.time())

    def phase(self, pod: str, timestamp: float) -> str:
        """Return the phase of a pod at a time."""
        if timestamp < self.ready.get(pod, math.inf):
            return "starting"
        return "ready" if timestamp < self.terminating.get(pod, math.inf) else "terminating"


async def test_scrapes_during_rollouts(install: InstallRelease, results: ResultsTable) -> None:
    """Every pod is discovered; in ten rollouts no scrape of a ready pod fails and no alert fires."""
    release = await install(replicaCount=3)
    prometheus, lifecycles = await Prometheus.start(release.namespace), PodLifecycles()
    seconds = await prometheus.wait_for_value("count(up == 1)", 3.0)
    measured = f"3 of 3 after {seconds:.0f} s"
    results.add("metrics", "discovery", aim="every pod", measured=measured, met=math.isfinite(seconds))
    started_at = time.monotonic()
    async with lifecycles.watch(release.namespace), LoadGenerator(await release.address(), [FAST]) as load:
        for _ in range(10):
            await release.rolling_restart()
        await release.wait_for_pod_termination()
        await prometheus.wait_for_value("count(up == 1)", 3.0)
    window = f"[{math.ceil(time.monotonic() - started_at + 5)}s]"
    scrapes = [
        (row["metric"]["pod"], timestamp, value)
        for row in await prometheus.query(f"up{window}")
        for timestamp, value in row["values"]
    ]
    failed = [lifecycles.phase(pod, timestamp) for pod, timestamp, value in scrapes if value == "0"]
    alerts = await prometheus.query(f'max_over_time(ALERTS{{alertstate="firing"}}{window})')
    pods = {pod for pod, _, _ in scrapes}
    phases = ", ".join(f"{failed.count(phase)} {phase}" for phase in ("starting", "ready", "terminating"))
    text = f"{len(scrapes)} scrapes of {len(pods)} pods; failed: {phases}; "
    text += f"{len(alerts)} alerts; {len(load.failures)} requests failed"
    met = not alerts and failed.count("ready") == 0 and len(pods) >= 33
    results.add("metrics", "10 rollouts", aim="no failed scrape of a ready pod, no alert", measured=text, met=met)


async def saturation_query(namespace: str, name: str) -> str:
    """Return the saturation query of the chart's ScaledObject."""
    values: dict[str, Any] = {
        "autoscaling.enabled": True,
        "autoscaling.type": "keda",
        "autoscaling.saturation.enabled": True,
        "autoscaling.saturation.window": f"{WINDOW}s",
        "autoscaling.keda.serverAddress": "http://prometheus:9090",
    }
    manifests = await run_command(
        "helm", "template", name, CHART, f"--namespace={namespace}", *set_json_options(values)
    )
    (scaled_object,) = (item for item in yaml.safe_load_all(manifests) if item and item["kind"] == "ScaledObject")
    triggers = scaled_object["spec"]["triggers"]
    queries = [trigger["metadata"]["query"] for trigger in triggers if trigger["type"] == "prometheus"]
    return str(queries[0])


@pytest.mark.parametrize("factor", [0.5, 1.1, 10.0])
async def test_saturation_query(install: InstallRelease, results: ResultsTable, factor: float) -> None:
    """The saturation query is within 10 % of the offered load, below, at and far above the limit."""
    release = await install(replicaCount=1, settings__concurrency=CONCURRENCY, settings__queueSize=4)
    prometheus = await Prometheus.start(release.namespace)
    query = await saturation_query(release.namespace.name, release.name)
    await prometheus.wait_for_value("count(up == 1)", 1.0)
    rate = factor * CONCURRENCY / CALL_SECONDS
    load = OpenLoopLoad(await release.address(), rate, query=f"q=hello&wait={CALL_SECONDS}")
    running = asyncio.create_task(load.run(WINDOW + 12))
    await asyncio.wait({running}, timeout=WINDOW + 3 * SCRAPE_INTERVAL + 3)
    queried = await prometheus.query_value(query)
    offered = await running * CALL_SECONDS / CONCURRENCY
    error = queried / offered - 1
    text = f"{queried:.2f}, offered {offered:.2f} ({error:+.0%}); {json.dumps(load.outcomes)}"
    test = f"saturation query at {factor:g}× the limit"
    results.add("metrics", test, aim="± 10 %", measured=text, met=abs(error) <= 0.1)
