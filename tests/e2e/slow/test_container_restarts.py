"""Container restarts: after a kill, a blocked event loop, memory exhaustion, and of the container runtime."""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.slow import node_processes
from tests.e2e.slow.command import run_command
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import (
    FAST,
    LoadGenerator,
    OpenLoopLoad,
    RequestKind,
    Sample,
    connect_to_each_replica,
    summarise,
)
from tests.e2e.slow.namespaced_release import Namespace, Release, wait_for_jsonpath
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

RESTARTS_AND_READY = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}"
TERMINATION_REASON = "{.status.containerStatuses[0].lastState.terminated.reason}"
WARMUP_REQUESTS = 300
RESTART_RUNTIME = os.environ.get("ASKD_TEST_RESTART_RUNTIME", "")
"""Command that restarts the node's container runtime: `docker exec kind-control-plane systemctl restart containerd`."""
LOAD = (
    dataclasses.replace(
        FAST, timeout=2.0
    ),  # without it, clients would wait for the hung pod and send nothing to the other one
    RequestKind(name="slow", query="q=hello&wait=4", keepalive_connections=2, new_connections=2),
)


async def wait_for_restart(namespace: Namespace, pod: str) -> float:
    """Wait until a pod has restarted once and is ready. Returns the time (`time.monotonic`)."""
    await wait_for_jsonpath(namespace, f"pod/{pod}", RESTARTS_AND_READY, "1 true")
    return time.monotonic()


def failures_since(load: LoadGenerator, start: float) -> tuple[list[Sample], float]:
    """Return the failures since `start`, and the seconds from then to the start of the last one."""
    failures = [sample for sample in load.failures if sample.ended_at >= start]
    return failures, max((sample.started_at - start for sample in failures), default=0.0)


async def send_to_pod(release: Release, query: str, pod: str) -> None:
    """Send a request to one pod and disconnect after a second."""
    connection = (await connect_to_each_replica(await release.address(), [pod]))[pod]
    try:
        with contextlib.suppress(TimeoutError, EOFError, OSError):
            async with asyncio.timeout(1):
                await connection.get(f"/ask?{query}")
    finally:
        connection.close()


async def fail_under_load(
    release: Release, fail: Callable[[str], Awaitable[None]]
) -> tuple[LoadGenerator, float, float, str]:
    """Make one pod of two fail under load. Returns the load, the times of failure and recovery, and the pod."""
    pod = (await release.pods())[0]
    async with LoadGenerator(await release.address(), LOAD) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        started_at = time.monotonic()
        _, ready_at = await asyncio.gather(fail(pod), wait_for_restart(release.namespace, pod))
        await load.wait_for_requests(WARMUP_REQUESTS)
    return load, started_at, ready_at, pod


async def test_killed_process(install: InstallRelease, results: ResultsTable) -> None:
    """After `kill -9`, requests fail for less than 2 s, and the pod is ready again within 5 s."""
    release = await install()

    async def kill(pod: str) -> None:
        await node_processes.kill_server(release.namespace, pod)

    load, started_at, ready_at, _ = await fail_under_load(release, kill)
    failures, last = failures_since(load, started_at)
    text = f"{len(failures)} failures, the last {last:.2f} s after; ready after {ready_at - started_at:.1f} s"
    aim = "failures end < 2 s, ready < 5 s"
    results.add(
        "restarts",
        "kill -9",
        aim=aim,
        measured=f"{text}; {summarise(load.samples)}",
        met=last < 2 and ready_at - started_at < 5,
    )


async def test_only_replica_killed_twice(install: InstallRelease, results: ResultsTable) -> None:
    """After two kills of the only replica within 20 s, requests fail only while it is away: it sheds none of 50/s."""
    release = await install(replicaCount=1)
    (pod,) = await release.pods()
    load = OpenLoopLoad(await release.address(), 50.0, query="q=hello&wait=4")
    running, seconds = asyncio.create_task(load.run()), []
    for restarts in ("1 true", "2 true"):
        await asyncio.wait({running}, timeout=5.0)
        started_at = time.monotonic()
        await node_processes.kill_server(release.namespace, pod)
        await wait_for_jsonpath(release.namespace, f"pod/{pod}", RESTARTS_AND_READY, restarts)
        seconds.append(time.monotonic() - started_at)
    await asyncio.wait({running}, timeout=5.0)
    load.stop()
    await running
    text = f"{dict(load.outcomes)}; ready after {', '.join(f'{value:.1f} s' for value in seconds)}"
    results.add(
        "restarts", "kill -9 twice, one replica", aim="0 shed", measured=text, met=not load.outcomes["503 overloaded"]
    )


async def test_memory_limit(install: InstallRelease, results: ResultsTable) -> None:
    """A pod that exceeds its memory limit restarts, while the other one serves."""
    release = await install()
    load, started_at, ready_at, pod = await fail_under_load(
        release, lambda pod: send_to_pod(release, "q=x&failure=allocate", pod)
    )
    failures, last = failures_since(load, started_at)
    reason = await release.namespace.kubectl("get", "pod", pod, f"--output=jsonpath={TERMINATION_REASON}")
    text = f"{reason}; {len(failures)} failures, the last {last:.2f} s after; ready after {ready_at - started_at:.1f} s"
    met = reason == "OOMKilled" and last < 4 and ready_at - started_at < 7
    aim = "failures end < 4 s, ready < 7 s, allocation included"
    results.add("restarts", "memory limit exceeded", aim=aim, measured=text, met=met)


async def test_blocked_event_loop(install: InstallRelease, results: ResultsTable) -> None:
    """A pod with a blocked event loop gets no requests after 25 s and restarts within 70 s."""
    release = await install()
    unready_at = {}

    async def hang(pod: str) -> None:
        await send_to_pod(release, "q=x&failure=hang", pod)
        await wait_for_jsonpath(release.namespace, f"pod/{pod}", RESTARTS_AND_READY, "0 false")
        unready_at[pod] = time.monotonic()

    load, started_at, ready_at, pod = await fail_under_load(release, hang)
    failures, last = failures_since(load, started_at)
    unready = unready_at[pod] - started_at
    text = f"not ready after {unready:.1f} s, ready again after {ready_at - started_at:.1f} s; "
    text += f"{len(failures)} failures, the last {last:.1f} s after"
    aim = "not ready < 25 s, restarted < 70 s"
    results.add(
        "restarts", "blocked event loop", aim=aim, measured=text, met=unready < 25 and ready_at - started_at < 70
    )
    assert last < 25, summarise(load.samples)


@pytest.mark.skipif(
    not RESTART_RUNTIME, reason="ASKD_TEST_RESTART_RUNTIME is not set to a command that restarts containerd on the node"
)
async def test_container_runtime_restart(install: InstallRelease, results: ResultsTable) -> None:
    """A restart of containerd fails no request and restarts no container."""
    release = await install()
    before = await release.pods()
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        started_at = time.monotonic()
        await run_command("sh", "-c", RESTART_RUNTIME)
        async with asyncio.timeout(60):
            while "error" in await release.namespace.kubectl("exec", before[0], "--", "true", check=False):
                continue  # until the runtime serves again
        seconds = time.monotonic() - started_at
        await load.wait_for_requests(10 * WARMUP_REQUESTS)
    assert await release.pods() == before
    text = f"{summarise(load.samples)}; the runtime was available after {seconds:.1f} s"
    results.add("restarts", "containerd restarted", aim="0 failed", measured=text, met=not load.failures)
