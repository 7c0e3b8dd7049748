"""Zero downtime: no fast, slow or streamed request fails while pods are replaced."""

import asyncio
import itertools
import json
import time

import pytest

from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import FAST, LoadGenerator, OpenLoopLoad, RequestKind, quantile, summarise
from tests.e2e.slow.namespaced_release import ANSWER_FILE, Release
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

WARMUP_REQUESTS = 300
"""Requests before and after each operation."""
BOOK = "- ask: [hello]\n  answer: {0}\n"


def add_result(results: ResultsTable, test: str, load: LoadGenerator, details: str = "") -> None:
    """Add the row of a load in which no request may fail."""
    p99 = quantile([sample for sample in load.samples if sample.kind == "fast"], 0.99)
    text = f"{summarise(load.samples)}; p99 of fast requests {p99 * 1000:.0f} ms" + (f"; {details}" if details else "")
    results.add("zero downtime", test, aim="0 failed", measured=text, met=not load.failures)


async def wait_until_settled(release: Release, load: LoadGenerator) -> None:
    """Wait until terminating pods are gone and more requests have finished."""
    await release.wait_for_pod_termination()
    await load.wait_for_requests(WARMUP_REQUESTS)


@pytest.mark.parametrize("replicas", [2, 1])
async def test_rollouts(install: InstallRelease, results: ResultsTable, replicas: int) -> None:
    """Ten rollouts of one or two replicas fail no request."""
    release = await install(replicaCount=replicas)
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        seconds = [await release.rolling_restart() for _ in range(10)]
        await wait_until_settled(release, load)
    add_result(
        results, f"10 rollouts, {replicas} replicas", load, f"a rollout took {min(seconds):.1f}–{max(seconds):.1f} s"
    )


@pytest.mark.parametrize(("replicas", "rate"), [(1, 50.0), (2, 100.0)])
async def test_rollouts_of_busy_waiting_code(
    install: InstallRelease, results: ResultsTable, replicas: int, rate: float
) -> None:
    """Three rollouts under many requests that take 4 s fail none: new pods take them over as fast as they come."""
    release = await install(replicaCount=replicas)
    load = OpenLoopLoad(await release.address(), rate, query="q=hello&wait=4")
    running = asyncio.create_task(load.run())
    for _ in range(3):
        await asyncio.wait({running}, timeout=6.0)  # until the calls in flight are as many as they become
        await release.rolling_restart()
    await asyncio.wait({running}, timeout=6.0)
    load.stop()
    await running
    text = f"{load.outcomes.total() - load.outcomes['200']} of {load.outcomes.total()} failed; {dict(load.outcomes)}"
    test = f"3 rollouts, {replicas} replicas, {rate:g}/s of 4 s answers"
    results.add("zero downtime", test, aim="0 failed", measured=text, met=load.outcomes.keys() == {"200"})


async def test_deletions(install: InstallRelease, results: ResultsTable) -> None:
    """Ten pod deletions fail no request."""
    release = await install()
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        for _ in range(10):
            before = await release.pods()
            await release.namespace.kubectl("delete", "pod", before[0], "--wait=false")
            await release.wait_for_replacement(before)
        await wait_until_settled(release, load)
    add_result(results, "10 pod deletions", load)


async def test_evictions(install: InstallRelease, results: ResultsTable) -> None:
    """Evicting every pod twice, as fast as the disruption budget allows, fails no request."""
    release, rejected = await install(), 0
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        for _, pod in itertools.product(range(2), range(2)):
            before = await release.pods()
            assert await release.request_eviction(before[0]), pod
            rejected += not await release.request_eviction(before[1])
            await release.wait_for_replacement(before)
        await wait_until_settled(release, load)
    assert rejected == 4, "the budget allowed the eviction of a second pod while the first was replaced"
    add_result(results, "4 evictions", load, f"the budget rejected {rejected} of 4 second evictions")


async def test_scaling(install: InstallRelease, results: ResultsTable) -> None:
    """Scaling 4 → 1 → 4 fails no request."""
    release = await install(replicaCount=4)
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        for replicas in (1, 4):
            await release.scale(replicas)
            await wait_until_settled(release, load)
    add_result(results, "scale 4 → 1 → 4", load)


@pytest.mark.parametrize("helm", ["helm", "helm3"])
async def test_upgrade_and_rollback(install: InstallRelease, results: ResultsTable, helm: str) -> None:
    """Upgrades of settings and code, and two rollbacks, fail no request."""
    release = await install(helm=helm)
    async with LoadGenerator(await release.address()) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        await release.upgrade(settings__threads=32)
        await release.upgrade(answerer__files={"answer.py": ANSWER_FILE.read_text() + "\n# changed\n"})
        for revision in ("2", "1"):
            await release.helm("rollback", release.name, revision, "--wait", "--timeout=3m")
        await wait_until_settled(release, load)
    add_result(results, f"upgrade of settings and of code, 2 rollbacks ({helm})", load)


async def test_book_reload(install: InstallRelease, results: ResultsTable) -> None:
    """Every pod serves a changed ConfigMap with a book within 120 s, and no request fails."""
    namespace = (release := await install(code=False)).namespace
    book = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "book"}}
    await namespace.apply({**book, "data": {"book.yaml": BOOK.format("old")}})
    await release.upgrade(answerer__existingConfigMap="book", answerer__spec="book.yaml")
    kind = RequestKind(
        name="fast",
        keepalive_connections=FAST.keepalive_connections,
        new_connections=FAST.new_connections,
        expected_bytes=b'{"answer":',
    )
    new = RequestKind(name="new", new_connections=4, expected_bytes=b'{"answer":')
    address = await release.address()
    async with LoadGenerator(address, [kind, new]) as load:
        await load.wait_for_requests(WARMUP_REQUESTS)
        started_at, reloaded = time.monotonic(), {}
        await namespace.apply({**book, "data": {"book.yaml": BOOK.format("new")}})
        waiting = set(await release.pods())
        while waiting and time.monotonic() - started_at < 150:
            await load.wait_for_requests(10)
            for pod in sorted(waiting):
                path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}:2024/proxy/ask?q=hello"
                if json.loads(await namespace.kubectl("get", "--raw", path))["answer"] == "new":
                    reloaded[pod] = time.monotonic() - started_at
            waiting -= reloaded.keys()
        await load.wait_for_requests(WARMUP_REQUESTS)
    times = ", ".join(f"{seconds:.0f} s" for seconds in sorted(reloaded.values()))
    add_result(results, "book reload", load, f"served by the pods after {times}")
    results.add("zero downtime", "book reload", aim="< 120 s", measured=times, met=not waiting)
