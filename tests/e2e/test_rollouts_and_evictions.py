"""Planned operations of a cluster lose no request: rollouts, deletions, evictions, scaling, upgrades."""

import json

import pytest

from tests.e2e.helm_release import Release, run_command
from tests.support.cluster_load import FAST, MCP, SLOW, STREAM, load
from tests.support.helm_values import BASE_VALUES

pytestmark = pytest.mark.slow
REPETITIONS = 10


@pytest.mark.parametrize("replicas", [1, 2])
async def test_rollouts_lose_no_request(release: Release, replicas: int) -> None:
    """No fast, slow or streamed request fails in ten rollouts of one or two replicas."""
    await release.install({**BASE_VALUES, "replicaCount": replicas})
    async with release.under_load(FAST, SLOW, STREAM) as requests:
        for _ in range(REPETITIONS):
            await release.rolling_restart()
    requests.assert_no_failures()


async def test_rollouts_lose_no_tool_call(release: Release) -> None:
    """No call of the tool by MCP fails in rollouts: each request is complete, so any replica answers it."""
    await release.install({**BASE_VALUES, "service": {"type": "NodePort", "appProtocol": "mcp"}})
    async with release.under_load(MCP) as requests:
        for _ in range(REPETITIONS):
            await release.rolling_restart()
    requests.assert_no_failures()


async def test_deletions_and_evictions_lose_no_request(release: Release) -> None:
    """No request fails while pods are deleted and evicted one after the other."""
    await release.install(BASE_VALUES)
    async with release.under_load(FAST, SLOW, STREAM) as requests:
        for number in range(REPETITIONS):
            name = (await release.pods())[0]["metadata"]["name"]
            if number % 2:
                await evict(release, name)
            else:
                await release.kubectl("delete", "pod", name, "--wait=false")
            await release.kubectl("wait", "--for=delete", f"pod/{name}", "--timeout", "120s")
            await release.wait_for_replicas(2)
    requests.assert_no_failures()


async def evict(release: Release, name: str) -> None:
    """Evict a pod, as `kubectl drain` does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": release.namespace}}
    path = f"/api/v1/namespaces/{release.namespace}/pods/{name}/eviction"
    await run_command("kubectl", "create", "--raw", path, "--filename", "-", stdin=json.dumps(body))


async def test_scaling_loses_no_request(release: Release) -> None:
    """No request fails while the Deployment scales from 4 to 1 and back to 4."""
    resources = {"requests": {"cpu": "10m"}, "limits": {"memory": "384Mi"}}
    await release.install({**BASE_VALUES, "replicaCount": 4, "resources": resources})
    async with release.under_load(FAST, SLOW, STREAM) as requests:
        for replicas in (1, 4):
            await release.kubectl("scale", "deployment/askd", "--replicas", str(replicas))
            await release.wait_for_replicas(replicas)
    requests.assert_no_failures()


async def test_worker_processes_lose_no_request(release: Release) -> None:
    """With two worker processes in each replica, no fast or slow request fails in rollouts and while it scales."""
    settings = {"deadline": "20s", "processes": 2, "queueTargetDelay": "10s"}
    resources = {"requests": {"cpu": "10m"}, "limits": {"memory": "384Mi"}}
    await release.install({**BASE_VALUES, "settings": settings, "replicaCount": 3, "resources": resources})
    text, connections = "you asked {}", {"keepalive_connections": 1, "new_connections": 1}
    fast = load.RequestKind(
        name="fast", path="/ask?q=fast", expected_text=text.format("fast"), pause=0.05, **connections
    )
    slow = load.RequestKind(name="slow", path="/ask?q=slow", expected_text=text.format("slow"), **connections)
    async with release.under_load(fast, slow) as requests:
        for _ in range(3):
            await release.rolling_restart()
        for replicas in (2, 3):
            await release.kubectl("scale", "deployment/askd", "--replicas", str(replicas))
            await release.wait_for_replicas(replicas)
    requests.assert_no_failures()


async def test_upgrade_and_rollback_lose_no_request(release: Release) -> None:
    """No request fails while settings and files change and are rolled back; the ConfigMaps of old files are kept."""
    await release.install(BASE_VALUES)
    files = {"answer.py": BASE_VALUES["answerer"]["files"]["answer.py"] + "\n# another version\n"}  # type: ignore[index]  # a dict
    async with release.under_load(FAST, SLOW, STREAM) as requests:
        await release.install({**BASE_VALUES, "settings": {"deadline": "10s", "threads": 8}})
        await release.wait_for_rollout()
        await release.install({**BASE_VALUES, "answerer": {"spec": "answer.py:answer", "files": files}})
        await release.wait_for_rollout()
        await run_command(
            release.helm, "rollback", "askd", "1", "--namespace", release.namespace, "--wait", "--timeout", "120s"
        )
        await release.wait_for_rollout()
    requests.assert_no_failures()
    config_maps = await release.kubectl(
        "get", "configmaps", "--selector", "app.kubernetes.io/component=files", "--output", "name"
    )
    assert len(config_maps.split()) == 2
