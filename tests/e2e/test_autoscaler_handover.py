"""Changing what scales the Deployment keeps its replicas, with Helm 3 and Helm 4."""

import json

import pytest

from tests.e2e.helm_release import CommandFailed, Release, run_command
from tests.support.helm_values import BASE_VALUES

pytestmark = pytest.mark.slow
FOUR_REPLICAS = {
    **BASE_VALUES,
    "replicaCount": 4,
    "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "384Mi"}},
}
HPA = {**FOUR_REPLICAS, "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 6}}
EXTERNAL_SCALER = {**FOUR_REPLICAS, "replicaCount": None}


async def get_replicas(release: Release) -> int:
    """Return `spec.replicas` of the Deployment."""
    return int((await release.get("deployment", "askd"))["spec"]["replicas"])


async def hand_over_replicas(error: str) -> None:
    """Run the command that Helm's error contains."""
    document = error.partition("<<'EOF'\n")[2].partition("EOF")[0].strip()
    await run_command(
        "kubectl", "apply", "--server-side", "--field-manager=autoscaler", "--filename", "-", stdin=document
    )


async def change_scaler(release: Release, values: dict[str, object]) -> None:
    """Upgrade. Helm 4 applies server-side and owns the number of replicas, which must be handed over first."""
    if release.helm == "helm":
        with pytest.raises(CommandFailed, match="hand the number over") as rejected:
            await release.install(values)
        await hand_over_replicas(str(rejected.value))
    await release.install(values)


@pytest.mark.parametrize("values", [HPA, EXTERNAL_SCALER], ids=["hpa", "external"])
async def test_replicas_are_kept(release_per_helm: Release, values: dict[str, object]) -> None:
    """From a fixed number to another scaler and back, the same 4 pods run, and uninstalling removes everything."""
    release = release_per_helm
    await release.install(FOUR_REPLICAS)
    before = {pod["metadata"]["name"] for pod in await release.pods()}
    await change_scaler(release, values)
    assert await get_replicas(release) == 4
    await release.install(values)  # the second upgrade must keep them too
    assert await get_replicas(release) == 4
    assert {pod["metadata"]["name"] for pod in await release.pods()} == before
    await release.install(FOUR_REPLICAS, *(("--force-conflicts",) if release.helm == "helm" else ()))
    assert await get_replicas(release) == 4
    assert not (await release.get("horizontalpodautoscalers"))["items"]
    await run_command(release.helm, "uninstall", "askd", "--namespace", release.namespace, "--wait")
    await release.wait_for_pod_termination()
    remaining = await release.kubectl("get", "all,horizontalpodautoscalers,poddisruptionbudgets", "--output", "name")
    assert not remaining


async def test_limit_range_below_the_target_is_rejected(release_per_helm: Release) -> None:
    """An autoscaler that a LimitRange would keep from acting is rejected; a lower target is accepted."""
    release = release_per_helm
    limits = [{"type": "Container", "default": {"cpu": "300m"}, "defaultRequest": {"cpu": "10m"}}]
    limit_range = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": limits}}
    await release.kubectl("apply", "--filename", "-", stdin=json.dumps(limit_range))
    autoscaling = {"enabled": True, "minReplicas": 1}
    with pytest.raises(CommandFailed, match=r"default CPU limit of LimitRange small is 300m.*such as 210m"):
        await release.install({"autoscaling": autoscaling})
    await release.install({"autoscaling": {**autoscaling, "cpu": {"averageValue": "210m"}}})
    await release.kubectl("delete", "limitrange", "small")
    await release.install({"autoscaling": autoscaling})


async def test_manual_scaling_is_a_conflict(release: Release) -> None:
    """After `kubectl scale`, an upgrade fails with a conflict; --force-conflicts takes the number over."""
    await release.install(FOUR_REPLICAS)
    await release.kubectl("scale", "deployment/askd", "--replicas", "5")
    output = await release.install(FOUR_REPLICAS, check=False)
    assert "conflict" in output
    assert ".spec.replicas" in output
    await release.install({**FOUR_REPLICAS, "replicaCount": 5}, "--force-conflicts")
    assert await get_replicas(release) == 5
