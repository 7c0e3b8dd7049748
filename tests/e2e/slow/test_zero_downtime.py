"""A cloud keeps it: pods come and go under load of fast, slow and streamed questions, and no request fails."""

import itertools
import json
import time

import pytest

from .cluster import CODE, Release
from .conftest import Install
from .figures import Figures
from .load import FAST, Kind, Load, quantile, told

pytestmark = pytest.mark.proof

WARM = 300
"""Requests before and after what is done."""
BOOK = "- ask: [hello]\n  answer: {0}\n"


def judge(figures: Figures, test: str, load: Load, more: str = "") -> None:
    """Add the row of a load of which no request may have failed."""
    slow = quantile([each for each in load.samples if each.kind == "fast"], 0.99)
    text = f"{told(load.samples)}; p99 of the fast {slow * 1000:.0f} ms" + (f"; {more}" if more else "")
    figures.add("keeps it", test, aim="0 failed", measured=text, met=not load.failures)


async def load_after(release: Release, load: Load) -> None:
    """Wait until what is on its way out has gone, and more requests are over."""
    await release.settled()
    await load.more(WARM)


@pytest.mark.parametrize("replicas", [2, 1])
async def test_rollouts(install: Install, figures: Figures, replicas: int) -> None:
    """Ten rollouts fail no request, also where there is one replica."""
    release = await install(replicaCount=replicas)
    async with Load(await release.address()) as load:
        await load.more(WARM)
        seconds = [await release.rollout() for _ in range(10)]
        await load_after(release, load)
    judge(figures, f"10 rollouts, {replicas} replicas", load, f"a rollout took {min(seconds):.1f}–{max(seconds):.1f} s")


async def test_deletions(install: Install, figures: Figures) -> None:
    """Ten deletions of pods fail no request."""
    release = await install()
    async with Load(await release.address()) as load:
        await load.more(WARM)
        for _ in range(10):
            before = await release.pods()
            await release.namespace.kubectl("delete", "pod", before[0], "--wait=false")
            await release.replaced(before)
        await load_after(release, load)
    judge(figures, "10 pod deletions", load)


async def test_evictions(install: Install, figures: Figures) -> None:
    """Evictions of every pod, twice, as fast as the budget allows, fail no request."""
    release, refused = await install(), 0
    async with Load(await release.address()) as load:
        await load.more(WARM)
        for _, pod in itertools.product(range(2), range(2)):
            before = await release.pods()
            assert await release.evict(before[0]), pod
            refused += not await release.evict(before[1])
            await release.replaced(before)
        await load_after(release, load)
    assert refused == 4, "the budget lets a second pod go while the first is replaced"
    judge(figures, "4 evictions", load, f"the budget refused {refused} of 4 second ones")


async def test_scaling(install: Install, figures: Figures) -> None:
    """Scaling 4 → 1 → 4 fails no request."""
    release = await install(replicaCount=4)
    async with Load(await release.address()) as load:
        await load.more(WARM)
        for replicas in (1, 4):
            await release.scale(replicas)
            await load_after(release, load)
    judge(figures, "scale 4 → 1 → 4", load)


@pytest.mark.parametrize("helm", ["helm", "helm3"])
async def test_upgrade_and_rollback(install: Install, figures: Figures, helm: str) -> None:
    """Upgrades to other settings and other code, and two rollbacks, fail no request."""
    release = await install(helm=helm)
    async with Load(await release.address()) as load:
        await load.more(WARM)
        await release.upgrade(settings__threads=32)
        await release.upgrade(answerer__files={"answer.py": CODE.read_text() + "\n# changed\n"})
        for revision in ("2", "1"):
            await release.helm("rollback", release.name, revision, "--wait", "--timeout=3m")
        await load_after(release, load)
    judge(figures, f"upgrade of settings and of code, 2 rollbacks ({helm})", load)


async def test_a_book_that_changes(install: Install, figures: Figures) -> None:
    """A book whose ConfigMap changes is served by every pod within 120 s, and no request fails."""
    namespace = (release := await install(code=False)).namespace
    book = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "book"}}
    await namespace.apply({**book, "data": {"book.yaml": BOOK.format("old")}})
    await release.upgrade(answerer__existingConfigMap="book", answerer__spec="book.yaml")
    kind = Kind(name="fast", kept=FAST.kept, fresh=FAST.fresh, holds=b'{"answer":')
    new = Kind(name="new", fresh=4, holds=b'{"answer":')
    address = await release.address()
    async with Load(address, [kind, new]) as load:
        await load.more(WARM)
        began, seen = time.monotonic(), {}
        await namespace.apply({**book, "data": {"book.yaml": BOOK.format("new")}})
        waiting = set(await release.pods())
        while waiting and time.monotonic() - began < 150:
            await load.more(10)
            for pod in sorted(waiting):
                path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}:2024/proxy/ask?q=hello"
                if json.loads(await namespace.kubectl("get", "--raw", path))["answer"] == "new":
                    seen[pod] = time.monotonic() - began
            waiting -= seen.keys()
        await load.more(WARM)
    times = ", ".join(f"{seconds:.0f} s" for seconds in sorted(seen.values()))
    judge(figures, "a book changed in place", load, f"served by the pods after {times}")
    figures.add("keeps it", "a book changed in place", aim="< 120 s", measured=times, met=not waiting)
