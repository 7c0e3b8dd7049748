"""A cloud measures it: Prometheus finds every pod, loses none in a rollout, and its measure of load is true."""

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

from .cluster import CHART, Namespace, settings
from .command import lines, run
from .conftest import Install
from .figures import Figures
from .load import FAST, Connection, Load
from .prometheus import EVERY, Prometheus

pytestmark = pytest.mark.proof

LIMIT = 8
"""Questions in the code of one replica at once."""
SECONDS = 0.5
"""That each of them takes."""
WINDOW = 20
"""Seconds over which the rates are taken."""
TIMES = (
    "{.metadata.name} {.metadata.deletionTimestamp} {.metadata.deletionGracePeriodSeconds} "
    "{.status.conditions[?(@.type=='ContainersReady')].status}"
)


class Lives:
    """When pods became ready, and when they were told to go, in seconds since 1970."""

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.leaving: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def watch(self, namespace: Namespace) -> AsyncIterator[None]:
        """Keep both as long as the block."""
        words = ("get", "pods", "--watch", f"--output=jsonpath={TIMES}{{'\\n'}}")
        async with lines("kubectl", "--namespace", namespace.name, *words, limit=900) as seen:
            reading = asyncio.create_task(self._read(seen))
            try:
                yield
            finally:
                reading.cancel()
                await asyncio.wait({reading})

    async def _read(self, seen: AsyncIterator[str]) -> None:
        async for line in seen:
            name, *rest = line.split()
            if len(rest) > 1:
                end = datetime.fromisoformat(rest[0]).timestamp()
                self.leaving.setdefault(name, end - float(rest[1]))
            elif rest == ["True"]:
                self.ready.setdefault(name, time.time())

    def place(self, pod: str, at: float) -> str:
        """Say in which part of its life a pod was."""
        if at < self.ready.get(pod, math.inf):
            return "starting"
        return "ready" if at < self.leaving.get(pod, math.inf) else "leaving"


async def test_rollouts_are_measured(install: Install, figures: Figures) -> None:
    """Every pod is found; in ten rollouts no scrape of a ready one fails, and no alert says that one is down."""
    release = await install(replicaCount=3)
    prometheus, lives = await Prometheus.start(release.namespace), Lives()
    seconds = await prometheus.until("count(up == 1)", 3.0)
    measured = f"3 of 3 after {seconds:.0f} s"
    figures.add("measures it", "discovery", aim="every pod", measured=measured, met=math.isfinite(seconds))
    began = time.monotonic()
    async with lives.watch(release.namespace), Load(await release.address(), [FAST]) as load:
        for _ in range(10):
            await release.rollout()
        await release.settled()
        await prometheus.until("count(up == 1)", 3.0)
    window = f"[{math.ceil(time.monotonic() - began + 5)}s]"
    scrapes = [
        (row["metric"]["pod"], at, value) for row in await prometheus.ask(f"up{window}") for at, value in row["values"]
    ]
    failed = [lives.place(pod, at) for pod, at, value in scrapes if value == "0"]
    alerts = await prometheus.ask(f'max_over_time(ALERTS{{alertstate="firing"}}{window})')
    pods = {pod for pod, _, _ in scrapes}
    where = ", ".join(f"{failed.count(place)} {place}" for place in ("starting", "ready", "leaving"))
    text = (
        f"{len(scrapes)} scrapes of {len(pods)} pods; failed: {where}; {len(alerts)} alerts; {len(load.failures)} lost"
    )
    met = not alerts and failed.count("ready") == 0 and len(pods) >= 33
    figures.add("measures it", "10 rollouts", aim="0 of ready pods fail, 0 alerts", measured=text, met=met)


async def saturation_query(namespace: str, name: str) -> str:
    """Return the query that the chart gives KEDA."""
    values: dict[str, Any] = {
        "autoscaling.type": "keda",
        "autoscaling.saturation.enabled": True,
        "autoscaling.saturation.window": f"{WINDOW}s",
        "autoscaling.keda.serverAddress": "http://prometheus:9090",
    }
    manifests = await run("helm", "template", name, CHART, f"--namespace={namespace}", *settings(values))
    (scaled,) = (each for each in yaml.safe_load_all(manifests) if each and each["kind"] == "ScaledObject")
    queries = [each["metadata"]["query"] for each in scaled["spec"]["triggers"] if each["type"] == "prometheus"]
    return str(queries[0])


class Offer:
    """Asks so many times a second, each time on a connection of its own, whatever comes back."""

    def __init__(self, address: tuple[str, int], rate: float) -> None:
        self.statuses: dict[int, int] = {}
        self.sent = 0
        self._address = address
        self._rate = rate

    async def run(self, seconds: float) -> float:
        """Ask for so long; returns how many a second it were."""
        began, over = time.monotonic(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) < began + seconds:
                while self.sent < (now - began) * self._rate:
                    self.sent += 1
                    group.create_task(self._once())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), 0.005)
        return self.sent / seconds

    async def _once(self) -> None:
        connection = await Connection.open(*self._address)
        try:
            reply = await connection.get(f"/ask?q=hello&wait={SECONDS}")
        finally:
            connection.close()
        self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1


@pytest.mark.parametrize("times", [0.5, 1.1, 10.0])
async def test_saturation(install: Install, figures: Figures, times: float) -> None:
    """The chart's query gives the load in replicas, as true as 10 %, below the limit, at it and far beyond."""
    release = await install(replicaCount=1, settings__concurrency=LIMIT, settings__queue=4)
    prometheus = await Prometheus.start(release.namespace)
    query = await saturation_query(release.namespace.name, release.name)
    await prometheus.until("count(up == 1)", 1.0)
    offer = Offer(await release.address(), times * LIMIT / SECONDS)
    running = asyncio.create_task(offer.run(WINDOW + 12))
    await asyncio.wait({running}, timeout=WINDOW + 3 * EVERY + 3)
    found = await prometheus.value(query)
    true = await running * SECONDS / LIMIT
    error = found / true - 1
    text = f"{found:.2f} where {true:.2f} is true ({error:+.0%}); {json.dumps(offer.statuses)}"
    test = f"saturation query at {times:g} ×"
    figures.add("measures it", test, aim="± 10 %", measured=text, met=abs(error) <= 0.1)
