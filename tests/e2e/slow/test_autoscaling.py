"""A cloud scales it: more load, more replicas, and none of the load is lost when they go."""

import asyncio
import time

import pytest

from .cluster import Release, watched
from .conftest import Install
from .figures import Figures
from .load import Kind, Load, Sample, quantile, told

pytestmark = pytest.mark.proof

AGE = 15.0
"""Seconds after which a connection ends, so that its client connects anew."""
DEADLINE = 5.0
WORK = "q=hello&burn=0.004"
"""4 ms of CPU: eight clients use a twentieth of a core, 48 a fourth."""
ACTIVE = "{.status.conditions[?(@.type=='ScalingActive')].status}"
VALUES = {
    "autoscaling.type": "hpa",
    "autoscaling.minReplicas": 1,
    "autoscaling.maxReplicas": 4,
    "autoscaling.cpu.averageValue": "100m",
    "autoscaling.behavior.scaleDown": {
        "stabilizationWindowSeconds": 10,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
    "settings.connectionMaxAge": f"{AGE:.0f}s",
    "settings.deadline": f"{DEADLINE:.0f}s",
}


def clients(count: int) -> Kind:
    """Return so many clients that keep their connections and ask about once a second."""
    return Kind(name="work", query=WORK, kept=count, pause=1.0)


async def grown(release: Release) -> tuple[float, int]:
    """Wait until the autoscaler wants more replicas than there are; return when they are ready, and how many."""
    path = "{.status.desiredReplicas}"
    wanted = await watched(release.namespace, f"hpa/{release.name}", path, "2", "3", "4", limit=150)
    ready = ("2", "3", "4")[int(wanted) - 2 :]
    found = await watched(release.namespace, f"deployment/{release.name}", "{.status.readyReplicas}", *ready)
    return time.monotonic(), int(found)


def shares(samples: list[Sample]) -> dict[str, float]:
    """Return each replica's part of the requests, 1 being a fair one."""
    servers = [each.server for each in samples]
    names = set(servers)
    return {name: servers.count(name) * len(names) / len(servers) for name in names}


async def test_cpu(install: Install, figures: Figures) -> None:
    """Six times the load has more replicas within 60 s, which get their share; without load they go, and lose none."""
    release = await install(**VALUES)
    address = await release.address()
    async with Load(address, [clients(8)]) as few:
        await watched(
            release.namespace, f"hpa/{release.name}", "{.status.conditions[?(@.type=='ScalingActive')].status}", "True"
        )
        await few.more(100)
    before = set(await release.pods())
    began = time.monotonic()
    async with Load(address, [clients(48)]) as many:
        ready, count = await grown(release)
        added = set(await release.pods()) - before
        await many.more(int(48 * (AGE * 1.2)))
        settled = time.monotonic()
        await many.more(500)
    seconds = ready - began
    text = f"{len(before)} → {count} after {seconds:.0f} s"
    figures.add("scales it", "load × 6, HPA on CPU", aim="more < 60 s", measured=text, met=seconds < 60)
    growing = quantile([each for each in many.samples if not each.fault], 0.99)
    shed = sum(each.fault.startswith("503 ") for each in many.failures)
    text = f"p99 {growing * 1000:.0f} ms, {shed} of {len(many.samples)} shed, {len(many.failures) - shed} failed"
    met = growing < DEADLINE and shed == len(many.failures)
    figures.add("scales it", "the admitted while it grows", aim="p99 < deadline", measured=text, met=met)

    kind = Kind(name="trickle", kept=4, fresh=1, pause=0.3)
    async with Load(address, [kind]) as trickle:
        await watched(release.namespace, f"deployment/{release.name}", "{.status.replicas}", "1", limit=240)
        await release.settled()
        await trickle.more(30)
    figures.add("scales it", "back to 1", aim="0 failed", measured=told(trickle.samples), met=not trickle.failures)

    found = shares(many.since(settled))
    least = min(found.get(name, 0.0) for name in added)
    text = f"the least of {len(added)} new ones has {least:.2f} of a fair share, {AGE * 1.2:.0f} s after it was ready"
    figures.add("scales it", "share of new replicas", aim="≥ 0.5", measured=text, met=least >= 0.5)


async def test_without_an_end_of_connections(install: Install, figures: Figures) -> None:
    """Without an age for connections a new replica gets nothing from clients that keep theirs: the test can fail."""
    release = await install(replicaCount=1, settings__connectionMaxAge="0")
    before = set(await release.pods())
    async with Load(await release.address(), [Kind(name="kept", kept=8, pause=0.05)]) as load:
        await load.more(50)
        await release.scale(2)
        began = time.monotonic()
        await asyncio.gather(load.more(1000))
    servers = {each.server for each in load.since(began)}
    text = f"{len(servers - before)} of 1 new replicas was asked in {len(load.since(began))} requests"
    figures.add("scales it", "the same at age 0", aim="none", measured=text, met=servers == before)
