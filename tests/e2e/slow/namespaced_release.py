"""Temporary namespaces on the cluster, and releases of the chart in them."""

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from tests.e2e.slow.command import CommandFailed, run_command, stream_lines

ROOT: Final = Path(__file__).parents[3]
CHART: Final = os.environ.get("ASKD_CHART") or str(ROOT / "chart")
IMAGE: Final = os.environ.get("ASKD_TEST_IMAGE") or "askd:e2e"
ANSWER_FILE: Final = Path(__file__).parent / "code" / "answer.py"
LOCAL_CONTEXTS: Final = ("kind-", "minikube", "k3d-", "docker-desktop", "rancher-desktop", "orbstack", "colima")
"""Prefixes of the contexts of clusters on this machine."""


def set_json_options(values: Mapping[str, Any]) -> list[str]:
    """Return values as options of Helm; a dot in a name separates levels."""
    return [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]


class Namespace:
    """A namespace that enforces Pod Security `restricted`."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    async def create(cls, suffix: str) -> Self:
        """Create a namespace with a unique name."""
        name = f"askd-e2e-{suffix}-{uuid.uuid4().hex[:5]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "askd/e2e": "true"}
        await apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return cls(name)

    async def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Run kubectl in the namespace and return its output."""
        return (await run_command("kubectl", "--namespace", self.name, *arguments, check=check)).strip()

    async def get(self, *arguments: str) -> Any:
        """Return an object, or a list of objects."""
        result = json.loads(await self.kubectl("get", *arguments, "--output=json"))
        return result.get("items", result)

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects in the namespace."""
        for manifest in objects:
            await apply({**manifest, "metadata": {"namespace": self.name, **manifest["metadata"]}})

    async def delete(self) -> None:
        """Delete the namespace, with a grace period of 1 s for its pods."""
        await self.kubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--wait=false", check=False)
        await run_command("kubectl", "delete", "namespace", self.name, "--wait=false", check=False)


async def apply(manifest: Mapping[str, Any]) -> None:
    """Apply an object server-side."""
    await run_command(
        "kubectl", "apply", "--server-side", "--force-conflicts", "--filename=-", stdin=json.dumps(manifest)
    )


@contextlib.asynccontextmanager
async def custom_resource_definition(definition: Mapping[str, Any]) -> AsyncIterator[None]:
    """Define a custom resource for the block, unless the cluster already has the definition."""
    name = f"customresourcedefinition/{definition['metadata']['name']}"
    exists = "NotFound" not in await run_command("kubectl", "get", name, check=False)
    if not exists:
        await apply(definition)
        await run_command("kubectl", "wait", "--for=condition=Established", name, "--timeout=60s")
    try:
        yield
    finally:
        if not exists:
            await run_command("kubectl", "delete", name)


class Release:
    """A release of the chart that is exposed by a NodePort. Its values accumulate over upgrades."""

    def __init__(self, namespace: Namespace, *, helm: str = "helm", name: str = "askd") -> None:
        self.namespace = namespace
        self.name = name
        self.values: dict[str, Any] = {"service.type": "NodePort"}
        repository, _, tag = IMAGE.rpartition(":")
        self.values |= {"image.repository": repository, "image.tag": tag}
        self._helm = helm

    async def install(self, *, code: bool = True, **values: Any) -> None:
        """Install with `code/answer.py` or the built-in book; `__` in the name of a value is a dot."""
        if code:
            self.values |= {"answerer.files": {"answer.py": ANSWER_FILE.read_text(encoding="utf-8")}}
        await self.upgrade(**values)

    async def upgrade(self, *, wait: str = "3m", **values: Any) -> None:
        """Install or upgrade with additional values, and wait until it is ready.

        Raises:
            CommandFailed: It was not ready within `wait`.
        """
        self.values |= {name.replace("__", "."): value for name, value in values.items()}
        arguments = ["upgrade", "--install", self.name, CHART, *set_json_options(self.values)]
        await self.helm(*arguments, "--wait", f"--timeout={wait}")

    async def helm(self, *arguments: str, check: bool = True) -> str:
        """Run Helm in the namespace and return its output."""
        return await run_command(self._helm, *arguments, "--namespace", self.namespace.name, check=check)

    async def address(self) -> tuple[str, int]:
        """Return the node's address and the NodePort, as soon as the port accepts connections.

        Helm waits for pods only: the port is open on the node a second or two after they are ready.
        """
        service = await self.namespace.get("service", self.name)
        address = await node_address(), service["spec"]["ports"][0]["nodePort"]
        async with asyncio.timeout(30):
            while not await is_listening(address):
                continue
        return address

    async def pods(self, *, terminating: bool = False) -> list[str]:
        """Return the names of the pods that are not terminating, or of those that are."""
        selector = f"--selector=app.kubernetes.io/instance={self.name},app.kubernetes.io/component=server"
        metadata = [pod["metadata"] for pod in await self.namespace.get("pods", selector)]
        return [entry["name"] for entry in metadata if ("deletionTimestamp" in entry) == terminating]

    async def request_eviction(self, pod: str) -> bool:
        """Request the eviction of a pod, as `kubectl drain` does. Returns whether the disruption budget allowed it."""
        path = f"/api/v1/namespaces/{self.namespace.name}/pods/{pod}/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace.name},
        }
        output = await run_command(
            "kubectl", "create", f"--raw={path}", "--filename=-", stdin=json.dumps(body), check=False
        )
        if "disruption budget" not in output and "Success" not in output:
            raise CommandFailed(output)
        return "Success" in output

    async def wait_for_replacement(self, before: list[str]) -> None:
        """Wait until a pod that is not in `before` exists and all pods are ready."""
        while not set(names := await self.pods()) - set(before):
            pass
        await self.namespace.kubectl("wait", "--for=condition=Ready", *(f"pod/{n}" for n in names), "--timeout=120s")

    async def wait_for_pod_termination(self) -> None:
        """Wait until no pod is terminating."""
        pods = await self.pods(terminating=True)
        await wait_for_all(*(wait_for_pod_deletion(self.namespace, pod) for pod in pods))

    async def wait_for_rollout(self, *, limit: str = "3m") -> None:
        """Wait until all pods of the newest revision are ready."""
        await self.namespace.kubectl("rollout", "status", f"deployment/{self.name}", f"--timeout={limit}")

    async def rolling_restart(self) -> float:
        """Replace every pod. Returns the seconds that it took."""
        started_at = time.monotonic()
        await self.namespace.kubectl("rollout", "restart", f"deployment/{self.name}")
        await self.wait_for_rollout()
        return time.monotonic() - started_at

    async def scale(self, replicas: int) -> None:
        """Set the number of replicas and wait for the rollout."""
        await self.namespace.kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}")
        await self.wait_for_rollout()


async def node_address() -> str:
    """Return the address of the node, on which NodePorts are open."""
    path = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    return await run_command("kubectl", "get", "nodes", f"--output=jsonpath={path}")


async def is_listening(address: tuple[str, int]) -> bool:
    """Return whether the address accepts connections."""
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def wait_for_jsonpath(namespace: Namespace, name: str, path: str, *values: str, limit: float = 180.0) -> str:
    """Wait until a JSONPath of an object has one of the values, and return it.

    Raises:
        TimeoutError: The output had no such value for `limit` seconds.
    """
    arguments = ("get", name, "--watch", f"--output=jsonpath={path}{{'\\n'}}")
    while True:
        async with stream_lines("kubectl", "--namespace", namespace.name, *arguments, timeout=limit) as lines:
            async for line in lines:
                if line.strip() in values:
                    return line.strip()


async def cluster_unavailable_reason() -> str:
    """Return why no local cluster can be used, or an empty string."""
    try:
        context = (await run_command("kubectl", "config", "current-context")).strip()
        if not context.startswith(LOCAL_CONTEXTS):
            return f"the context {context} is not a cluster on this machine"
        await run_command("kubectl", "version", "--request-timeout=5s")
        await run_command("helm", "version")
    except (CommandFailed, OSError) as error:
        return str(error).splitlines()[0]
    return ""


async def build_image() -> None:
    """Build the image and load it into the cluster, unless ASKD_TEST_IMAGE names an image that the cluster has."""
    if os.environ.get("ASKD_TEST_IMAGE"):
        return
    await run_command("docker", "build", "--quiet", "--tag", IMAGE, str(ROOT))
    context = (await run_command("kubectl", "config", "current-context")).strip()
    if context.startswith("kind-"):
        await run_command("kind", "load", "docker-image", IMAGE, "--name", context.removeprefix("kind-"))
    elif context.startswith("minikube"):
        await run_command("minikube", "--profile", context, "image", "load", IMAGE)


async def wait_for_pod_deletion(namespace: Namespace, pod: str) -> None:
    """Wait until a pod is gone."""
    await namespace.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=180s")


async def wait_for_all(*waits: Any) -> None:
    """Wait for all coroutines concurrently. An error in one cancels the others."""
    async with asyncio.TaskGroup() as group:
        for wait in waits:
            group.create_task(wait)
