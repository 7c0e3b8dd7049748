"""A release of the chart in a temporary namespace, and operations on it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.cluster_load import ClusterLoad

CHART: Final = Path(__file__).parents[2] / "chart"
COMMAND_TIMEOUT: Final = 240.0
"""Seconds after which a command is considered hung."""


class CommandFailed(AssertionError):
    """A command failed; the message contains its output."""


async def run_command(*command: str, stdin: str = "", check: bool = True) -> str:
    """Run a command and return its output, with its errors if `check` is false.

    Raises:
        CommandFailed: The command failed and `check` is true.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(COMMAND_TIMEOUT):
        output, errors = await process.communicate(stdin.encode())
    if check and process.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit code {process.returncode}\n{output.decode()}{errors.decode()}")
    return output.decode() + ("" if check else errors.decode())


class Release:
    """A release of the chart named askd, which is installed by the command `helm`."""

    def __init__(self, namespace: str, helm: str, image: str) -> None:
        self.namespace = namespace
        self.helm = helm
        self._image = image

    async def kubectl(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return await run_command("kubectl", "--namespace", self.namespace, *command, stdin=stdin, check=check)

    async def install(self, values: Mapping[str, Any], *options: str, check: bool = True, wait: bool = True) -> str:
        """Install or upgrade with these values, wait until it is ready and reachable, and return Helm's output."""
        repository, _, tag = self._image.rpartition(":")
        defaults = {"image": {"repository": repository, "tag": tag}, "service": {"type": "NodePort"}}
        options = (*options, *(("--wait", "--timeout", "120s") if wait else ()))
        command = (self.helm, "upgrade", "--install", "askd", str(CHART), "--namespace", self.namespace)
        stdin = json.dumps({**defaults, **values})
        output = await run_command(*command, "--values", "-", *options, stdin=stdin, check=check)
        if wait and check:
            await ClusterLoad(await self.url(), []).wait_until_reachable()
        return output

    async def get(self, kind: str, name: str = "") -> Any:
        """Return an object, or all objects of a kind."""
        return json.loads(await self.kubectl("get", kind, *((name,) if name else ()), "--output", "json"))

    async def pods(self) -> list[Any]:
        """Return the server's pods that are not terminating, the oldest first."""
        output = await self.kubectl(
            "get", "pods", "--selector", "app.kubernetes.io/component=server", "--output", "json",
            "--sort-by", "{.metadata.creationTimestamp}",
        )  # fmt: skip
        return [pod for pod in json.loads(output)["items"] if "deletionTimestamp" not in pod["metadata"]]

    async def url(self) -> str:
        """Return the URL outside the cluster: the node's address and the NodePort."""
        node = json.loads(await run_command("kubectl", "get", "nodes", "--output", "json"))["items"][0]
        address = next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")
        service = await self.get("service", "askd")
        return f"http://{address}:{service['spec']['ports'][0]['nodePort']}"

    async def wait_for_rollout(self) -> None:
        """Wait until a rollout has finished and its old pods are gone."""
        await self.kubectl("rollout", "status", "deployment/askd", "--timeout", "180s")
        await self.wait_for_pod_termination()

    async def wait_for_pod_termination(self) -> None:
        """Wait until no pod is terminating."""
        pods = await self.get("pods")
        for pod in pods["items"]:
            if "deletionTimestamp" in pod["metadata"]:
                name = f"pod/{pod['metadata']['name']}"
                await self.kubectl("wait", "--for=delete", name, "--timeout", "180s")

    async def wait_for_replicas(self, number: int) -> None:
        """Wait until this number of replicas is ready and no pod is terminating."""
        await self.kubectl(
            "wait", "deployment/askd", f"--for=jsonpath={{.status.readyReplicas}}={number}", "--timeout", "180s"
        )
        await self.wait_for_pod_termination()

    async def rolling_restart(self) -> None:
        """Replace every pod."""
        await self.kubectl("rollout", "restart", "deployment/askd")
        await self.wait_for_rollout()

    @contextlib.asynccontextmanager
    async def under_load(self, *kinds: Any) -> AsyncIterator[ClusterLoad]:
        """Send requests during the block. Requests of each kind finish before it begins and after it ends."""
        load = ClusterLoad(await self.url(), list(kinds))
        running = asyncio.create_task(load.run())
        try:
            await load.wait_for_requests()
            yield load
            await load.wait_for_requests()
        finally:
            load.stop()
            await running
        print(json.dumps(load.report()))


@contextlib.asynccontextmanager
async def temporary_namespace() -> AsyncIterator[str]:
    """Create a namespace that enforces Pod Security `restricted`, and delete it after the block."""
    name = f"askd-test-{time.time_ns() % 10**9}"
    await run_command("kubectl", "create", "namespace", name)
    await run_command("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield name
    finally:
        await run_command("kubectl", "delete", "namespace", name, "--wait", "--timeout", "120s", check=False)
