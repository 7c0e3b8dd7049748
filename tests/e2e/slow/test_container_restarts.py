"""A cloud restarts it: killed, hung, out of memory, or its runtime gone."""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable

import pytest

from . import node
from .cluster import Namespace, Release, watched
from .command import run
from .conftest import Install
from .figures import Figures
from .load import FAST, Kind, Load, Sample, one_each, told

pytestmark = pytest.mark.proof

STATE = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}"
ENDED = "{.status.containerStatuses[0].lastState.terminated.reason}"
WARM = 300
RESTART = os.environ.get("ASKD_PROOF_RUNTIME", "")
"""Restarts the node's container runtime, such as `docker exec kind-control-plane systemctl restart containerd`."""
LOAD = (
    dataclasses.replace(FAST, patience=2.0),  # who hung with a pod until it is killed would not ask meanwhile
    Kind(name="slow", query="q=hello&wait=4", kept=2, fresh=2),
)


async def restarted(namespace: Namespace, pod: str) -> float:
    """Return when a pod's first restart is ready (`time.monotonic`)."""
    await watched(namespace, f"pod/{pod}", STATE, "1 true")
    return time.monotonic()


def spoilt(load: Load, began: float) -> tuple[list[Sample], float]:
    """Return the failures since then, and the seconds from then to the last of them that began."""
    failures = [each for each in load.failures if each.ended >= began]
    return failures, max((each.at - began for each in failures), default=0.0)


async def ask(release: Release, query: str, pod: str) -> None:
    """Send a question to one pod, and leave after a second."""
    connection = (await one_each(await release.address(), [pod]))[pod]
    try:
        with contextlib.suppress(TimeoutError, EOFError, OSError):
            async with asyncio.timeout(1):
                await connection.get(f"/ask?{query}")
    finally:
        connection.close()


async def suffer(release: Release, harm: Callable[[str], Awaitable[None]]) -> tuple[Load, float, float, str]:
    """Harm one pod of two under load; returns the load, when it was harmed, when it was ready again, and which."""
    pod = (await release.pods())[0]
    async with Load(await release.address(), LOAD) as load:
        await load.more(WARM)
        began = time.monotonic()
        _, ready = await asyncio.gather(harm(pod), restarted(release.namespace, pod))
        await load.more(WARM)
    return load, began, ready, pod


async def test_killed(install: Install, figures: Figures) -> None:
    """After `kill -9` from the node failures end within 2 s, and the pod is ready again within 5 s."""
    release = await install()

    async def kill(pod: str) -> None:
        await node.kill(release.namespace, pod)

    load, began, ready, _ = await suffer(release, kill)
    failures, last = spoilt(load, began)
    text = f"{len(failures)} failures, the last {last:.2f} s after; ready after {ready - began:.1f} s"
    aim = "failures end < 2 s, ready < 5 s"
    figures.add(
        "restarts it", "kill -9", aim=aim, measured=f"{text}; {told(load.samples)}", met=last < 2 and ready - began < 5
    )


async def test_memory(install: Install, figures: Figures) -> None:
    """A pod that exceeds its memory limit is killed and ready again; the other answers meanwhile."""
    release = await install()
    load, began, ready, pod = await suffer(release, lambda pod: ask(release, "q=x&fault=eat", pod))
    failures, last = spoilt(load, began)
    why = await release.namespace.kubectl("get", "pod", pod, f"--output=jsonpath={ENDED}")
    text = f"{why}; {len(failures)} failures, the last {last:.2f} s after; ready after {ready - began:.1f} s"
    met = why == "OOMKilled" and last < 4 and ready - began < 7
    aim = "failures end < 4 s, ready < 7 s, eating included"
    figures.add("restarts it", "memory limit exceeded", aim=aim, measured=text, met=met)


async def test_hung(install: Install, figures: Figures) -> None:
    """A pod whose loop hangs is out of rotation within 25 s, and restarted within 70 s."""
    release = await install()
    found = {}

    async def hang(pod: str) -> None:
        await ask(release, "q=x&fault=hang", pod)
        await watched(release.namespace, f"pod/{pod}", STATE, "0 false")
        found["out"] = time.monotonic()

    load, began, ready, _ = await suffer(release, hang)
    failures, last = spoilt(load, began)
    out = found["out"] - began
    text = (
        f"out after {out:.1f} s, ready again after {ready - began:.1f} s; {len(failures)} failures, {last:.1f} s long"
    )
    aim = "out of rotation < 25 s, restarted < 70 s"
    figures.add("restarts it", "a loop that hangs", aim=aim, measured=text, met=out < 25 and ready - began < 70)
    assert last < 25, told(load.samples)


@pytest.mark.skipif(not RESTART, reason="ASKD_PROOF_RUNTIME is no command that restarts the node's containerd")
async def test_the_runtime(install: Install, figures: Figures) -> None:
    """Nothing fails, and nothing is restarted, while the node's containerd is."""
    release = await install()
    before = await release.pods()
    async with Load(await release.address()) as load:
        await load.more(WARM)
        began = time.monotonic()
        await run("sh", "-c", RESTART)
        await release.namespace.kubectl("exec", before[0], "--", "true")  # it serves again
        seconds = time.monotonic() - began
        await load.more(10 * WARM)
    assert await release.pods() == before
    text = f"{told(load.samples)}; the runtime was back after {seconds:.1f} s"
    figures.add("restarts it", "containerd restarted", aim="0 failed", measured=text, met=not load.failures)
