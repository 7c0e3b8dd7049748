"""Whatever a cloud does on purpose, no question is lost."""

import json

import pytest

from tests.cluster.asking import FAST, SLOW, STREAM, VALUES
from tests.cluster.cluster import Release, run

pytestmark = pytest.mark.proof
TIMES = 10


@pytest.mark.parametrize("number", [1, 2])
async def test_ten_rollouts_lose_nothing(release: Release, number: int) -> None:
    """Ten rollouts, at one replica as at two, fail no request: fast, slow and streamed."""
    await release.install({**VALUES, "replicaCount": number})
    async with release.load(FAST, SLOW, STREAM) as asked:
        for _ in range(TIMES):
            await release.restart()
    asked.clean()


async def test_ten_deletions_and_evictions_lose_nothing(release: Release) -> None:
    """Pods deleted and evicted one after the other fail no request."""
    await release.install(VALUES)
    async with release.load(FAST, SLOW, STREAM) as asked:
        for turn in range(TIMES):
            name = (await release.pods())[0]["metadata"]["name"]
            if turn % 2:
                await evict(release, name)
            else:
                await release.kubectl("delete", "pod", name, "--wait=false")
            await release.kubectl("wait", "--for=delete", f"pod/{name}", "--timeout", "120s")
            await release.ready(2)
    asked.clean()


async def evict(release: Release, name: str) -> None:
    """Evict a pod as a node's drain does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": release.namespace}}
    where = f"/api/v1/namespaces/{release.namespace}/pods/{name}/eviction"
    await run("kubectl", "create", "--raw", where, "--filename", "-", given=json.dumps(body))


async def test_scaling_loses_nothing(release: Release) -> None:
    """From 4 to 1 and back to 4 fails no request."""
    small = {"requests": {"cpu": "10m"}, "limits": {"memory": "384Mi"}}
    await release.install({**VALUES, "replicaCount": 4, "resources": small})
    async with release.load(FAST, SLOW, STREAM) as asked:
        for number in (1, 4):
            await release.kubectl("scale", "deployment/askd", "--replicas", str(number))
            await release.ready(number)
    asked.clean()


async def test_upgrade_and_rollback_lose_nothing(release: Release) -> None:
    """Another setting, other files, and back again: the kept files are still there, and no request fails."""
    await release.install(VALUES)
    files = {"answer.py": VALUES["answerer"]["files"]["answer.py"] + "\n# another version\n"}  # type: ignore[index]  # a dict
    async with release.load(FAST, SLOW, STREAM) as asked:
        await release.install({**VALUES, "settings": {"deadline": "10s", "threads": 8}})
        await release.rolled()
        await release.install({**VALUES, "answerer": {"spec": "answer.py:answer", "files": files}})
        await release.rolled()
        await run(
            release.helm, "rollback", "askd", "1", "--namespace", release.namespace, "--wait", "--timeout", "120s"
        )
        await release.rolled()
    asked.clean()
    maps = await release.kubectl(
        "get", "configmaps", "--selector", "app.kubernetes.io/component=files", "--output", "name"
    )
    assert len(maps.split()) == 2
