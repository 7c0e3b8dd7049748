"""Moving between scalers loses no replica, under both Helms, and leaves nothing behind."""

import pytest

from tests.cluster.asking import VALUES
from tests.cluster.cluster import Failed, Release, run

pytestmark = pytest.mark.proof
FOUR = {**VALUES, "replicaCount": 4, "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "384Mi"}}}
HPA = {**FOUR, "autoscaling": {"type": "hpa", "minReplicas": 2, "maxReplicas": 6}}
OTHERS = {**FOUR, "replicaCount": None}


async def replicas(release: Release) -> int:
    """Return what the Deployment asks for."""
    return int((await release.get("deployment", "askd"))["spec"]["replicas"])


async def hand_over(release: Release, told: str) -> None:
    """Do what the refusal says, word for word."""
    document = told.partition("<<'EOF'\n")[2].partition("EOF")[0].strip()
    await run("kubectl", "apply", "--server-side", "--field-manager=autoscaler", "--filename", "-", given=document)


async def moved(release: Release, values: dict[str, object]) -> None:
    """Upgrade, handing the number over where Helm owns it; what is applied client-side needs no handover."""
    if release.helm == "helm":
        with pytest.raises(Failed, match="hand the number over") as refused:
            await release.install(values)
        await hand_over(release, str(refused.value))
    await release.install(values)


@pytest.mark.parametrize("other", [HPA, OTHERS], ids=["hpa", "others"])
async def test_no_replica_is_lost_on_the_way(each: Release, other: dict[str, object]) -> None:
    """From 4 fixed replicas to others' care and back: 4 pods stay the whole time, and no autoscaler is left."""
    await each.install(FOUR)
    before = {pod["metadata"]["name"] for pod in await each.pods()}
    await moved(each, other)
    assert await replicas(each) == 4
    await each.install(other)  # once more: the second upgrade must not lose them either
    assert await replicas(each) == 4
    assert {pod["metadata"]["name"] for pod in await each.pods()} == before
    await each.install(FOUR, *(("--force-conflicts",) if each.helm == "helm" else ()))
    assert await replicas(each) == 4
    assert not (await each.get("horizontalpodautoscalers"))["items"]
    await run(each.helm, "uninstall", "askd", "--namespace", each.namespace, "--wait")
    await each.gone()
    left = await each.kubectl("get", "all,horizontalpodautoscalers,poddisruptionbudgets", "--output", "name")
    assert not left


async def test_an_emergency_act_is_told_apart_and_mended(release: Release) -> None:
    """After `kubectl scale` an upgrade says that the number is another's; --force-conflicts takes it back."""
    await release.install(FOUR)
    await release.kubectl("scale", "deployment/askd", "--replicas", "5")
    told = await release.install(FOUR, check=False)
    assert "conflict" in told
    assert ".spec.replicas" in told
    await release.install({**FOUR, "replicaCount": 5}, "--force-conflicts")
    assert await replicas(release) == 5
