"""A namespace of one's own on the cluster, and releases of the chart in it."""

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from .command import Failed, lines, run

ROOT: Final = Path(__file__).parents[3]
CHART: Final = os.environ.get("ASKD_CHART") or str(ROOT / "chart")
IMAGE: Final = os.environ.get("ASKD_TEST_IMAGE") or "askd:proof"
CODE: Final = Path(__file__).parent / "code" / "answer.py"
LOCAL: Final = ("kind-", "minikube", "k3d-", "docker-desktop", "rancher-desktop", "orbstack", "colima")
"""How contexts of clusters on this machine begin."""


def settings(values: Mapping[str, Any]) -> list[str]:
    """Return values as `--set-json` takes them; a dot in a name is a level."""
    return [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]


class Namespace:
    """A namespace that enforces Pod Security `restricted`; what is in it goes with it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    async def create(cls, word: str) -> Self:
        """Make one, with a name that nobody has."""
        name = f"askd-proof-{word}-{uuid.uuid4().hex[:5]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "askd/proof": "true"}
        await apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return cls(name)

    async def kubectl(self, *words: str, check: bool = True) -> str:
        """Run kubectl in it."""
        return (await run("kubectl", "--namespace", self.name, *words, check=check)).strip()

    async def get(self, *words: str) -> Any:
        """Return an object, or a list of objects."""
        found = json.loads(await self.kubectl("get", *words, "--output=json"))
        return found.get("items", found)

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects."""
        for each in objects:
            await apply({**each, "metadata": {"namespace": self.name, **each["metadata"]}})

    async def delete(self) -> None:
        """Delete it, without the grace that its pods would have."""
        await self.kubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--wait=false", check=False)
        await run("kubectl", "delete", "namespace", self.name, "--wait=false", check=False)


async def apply(manifest: Mapping[str, Any]) -> None:
    """Apply an object."""
    await run("kubectl", "apply", "--server-side", "--force-conflicts", "--filename=-", text=json.dumps(manifest))


@contextlib.asynccontextmanager
async def defined(definition: Mapping[str, Any]) -> AsyncIterator[None]:
    """Have the cluster know a kind of custom resource; where it did not know it before, only within the block."""
    name = f"customresourcedefinition/{definition['metadata']['name']}"
    known = "NotFound" not in await run("kubectl", "get", name, check=False)
    if not known:
        await apply(definition)
        await run("kubectl", "wait", "--for=condition=Established", name, "--timeout=60s")
    try:
        yield
    finally:
        if not known:
            await run("kubectl", "delete", name)


class Release:
    """One release of the chart, reached from outside through a NodePort."""

    def __init__(self, namespace: Namespace, *, helm: str = "helm", name: str = "askd") -> None:
        self.namespace = namespace
        self.name = name
        self.values: dict[str, Any] = {"service.type": "NodePort"}
        repository, _, tag = IMAGE.rpartition(":")
        self.values |= {"image.repository": repository, "image.tag": tag}
        self._helm = helm

    async def install(self, *, code: bool = True, **values: Any) -> None:
        """Install it, with the proof's code or the built-in book; `__` in a name is a dot."""
        if code:
            self.values |= {"answerer.files": {"answer.py": CODE.read_text(encoding="utf-8")}}
        await self.upgrade(**values)

    async def upgrade(self, *, wait: str = "3m", **values: Any) -> None:
        """Install or upgrade it, and wait so long until all is ready; values stay. Raises Failed."""
        self.values |= {name.replace("__", "."): value for name, value in values.items()}
        words = ["upgrade", "--install", self.name, CHART, *settings(self.values)]
        await self.helm(*words, "--wait", f"--timeout={wait}")

    async def helm(self, *words: str, check: bool = True) -> str:
        """Run this release's Helm in its namespace."""
        return await run(self._helm, *words, "--namespace", self.namespace.name, check=check)

    async def address(self) -> tuple[str, int]:
        """Return the node's address and the Service's NodePort, once it answers.

        Helm waits for pods: the node hears of a new port a second or two after they are ready.
        """
        service = await self.namespace.get("service", self.name)
        address = await node_address(), service["spec"]["ports"][0]["nodePort"]
        async with asyncio.timeout(30):
            while not await accepts(address):
                continue
        return address

    async def pods(self, *, leaving: bool = False) -> list[str]:
        """Return the names of the pods that are not on their way out, or of those that are."""
        selector = f"--selector=app.kubernetes.io/instance={self.name},app.kubernetes.io/component=server"
        found = [each["metadata"] for each in await self.namespace.get("pods", selector)]
        return [each["name"] for each in found if ("deletionTimestamp" in each) == leaving]

    async def evict(self, pod: str) -> bool:
        """Ask for a pod's eviction, as `kubectl drain` does; returns whether it was granted."""
        path = f"/api/v1/namespaces/{self.namespace.name}/pods/{pod}/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace.name},
        }
        said = await run("kubectl", "create", f"--raw={path}", "--filename=-", text=json.dumps(body), check=False)
        if "disruption budget" not in said and "Success" not in said:
            raise Failed(said)
        return "Success" in said

    async def replaced(self, before: list[str]) -> None:
        """Wait until another pod than these has come, and all that stay are ready."""
        while not set(names := await self.pods()) - set(before):
            pass
        await self.namespace.kubectl("wait", "--for=condition=Ready", *(f"pod/{n}" for n in names), "--timeout=120s")

    async def settled(self) -> None:
        """Wait until no pod is on its way out."""
        gone = await self.pods(leaving=True)
        await both(*(until_gone(self.namespace, name) for name in gone))

    async def rolled(self, *, limit: str = "3m") -> None:
        """Wait until the newest pods are all there and ready."""
        await self.namespace.kubectl("rollout", "status", f"deployment/{self.name}", f"--timeout={limit}")

    async def rollout(self) -> float:
        """Roll every pod; returns the seconds that took."""
        began = time.monotonic()
        await self.namespace.kubectl("rollout", "restart", f"deployment/{self.name}")
        await self.rolled()
        return time.monotonic() - began

    async def scale(self, replicas: int) -> None:
        """Set the number of replicas, and wait until that many are ready and the others' endpoints are gone."""
        await self.namespace.kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}")
        await self.rolled()


async def node_address() -> str:
    """Return the address on which NodePorts are reached."""
    path = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    return await run("kubectl", "get", "nodes", f"--output=jsonpath={path}")


async def accepts(address: tuple[str, int]) -> bool:
    """Return whether something listens there."""
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def watched(namespace: Namespace, what: str, path: str, *wanted: str, limit: float = 180.0) -> str:
    """Wait until a jsonpath of an object has one of these values; returns it. Raises TimeoutError."""
    words = ("get", what, "--watch", f"--output=jsonpath={path}{{'\\n'}}")
    while True:
        async with lines("kubectl", "--namespace", namespace.name, *words, limit=limit) as seen:
            async for line in seen:
                if line.strip() in wanted:
                    return line.strip()


async def reachable() -> str:
    """Return why no cluster can be used, or nothing."""
    try:
        context = (await run("kubectl", "config", "current-context")).strip()
        if not context.startswith(LOCAL):
            return f"the context {context} is not of a cluster on this machine"
        await run("kubectl", "version", "--request-timeout=5s")
        await run("helm", "version")
    except (Failed, OSError) as missing:
        return str(missing).splitlines()[0]
    return ""


async def build() -> None:
    """Build the image, and load it into the cluster, unless ASKD_TEST_IMAGE names one that is there."""
    if os.environ.get("ASKD_TEST_IMAGE"):
        return
    await run("docker", "build", "--quiet", "--tag", IMAGE, str(ROOT))
    context = (await run("kubectl", "config", "current-context")).strip()
    if context.startswith("kind-"):
        await run("kind", "load", "docker-image", IMAGE, "--name", context.removeprefix("kind-"))
    elif context.startswith("minikube"):
        await run("minikube", "--profile", context, "image", "load", IMAGE)


async def until_gone(namespace: Namespace, pod: str) -> None:
    """Wait until a pod is no more."""
    await namespace.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=180s")


async def both(*waits: Any) -> None:
    """Wait for all of them; a failure of one ends the others."""
    async with asyncio.TaskGroup() as group:
        for each in waits:
            group.create_task(each)
