"""A release in a namespace of its own, on the cluster that kubectl reaches, and what happens to it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.cluster.asking import Load

CHART: Final = Path(__file__).parents[2] / "chart"
LONGEST: Final = 240.0
"""Seconds after which a command is taken never to end."""


class Failed(AssertionError):
    """A command that ended badly, with all that it said."""


async def run(*command: str, given: str = "", check: bool = True) -> str:
    """Run a command and return what it printed. Raises Failed with its errors unless `check` is false."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LONGEST):
        out, err = await process.communicate(given.encode())
    if check and process.returncode:
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}\n{out.decode()}{err.decode()}")
    return out.decode() + ("" if check else err.decode())


class Release:
    """One release of the chart, called askd; `helm` is the Helm that installs it."""

    def __init__(self, namespace: str, helm: str, image: str) -> None:
        self.namespace = namespace
        self.helm = helm
        self._image = image

    async def kubectl(self, *command: str, given: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return await run("kubectl", "--namespace", self.namespace, *command, given=given, check=check)

    async def install(self, values: Mapping[str, Any], *options: str, check: bool = True, wait: bool = True) -> str:
        """Install or upgrade to these values, and wait until all is ready and reached."""
        repository, _, tag = self._image.rpartition(":")
        usual = {"image": {"repository": repository, "tag": tag}, "service": {"type": "NodePort"}}
        given = json.dumps({**usual, **values})
        options = (*options, *(("--wait", "--timeout", "120s") if wait else ()))
        command = (self.helm, "upgrade", "--install", "askd", str(CHART), "--namespace", self.namespace)
        told = await run(*command, "--values", "-", *options, given=given, check=check)
        if wait and check:
            await Load(await self.url(), []).reach()
        return told

    async def get(self, kind: str, name: str = "") -> Any:
        """Return an object, or a list of them."""
        return json.loads(await self.kubectl("get", kind, *((name,) if name else ()), "--output", "json"))

    async def pods(self) -> list[Any]:
        """Return the server's pods that are not ending, the oldest first."""
        found = await self.kubectl(
            "get", "pods", "--selector", "app.kubernetes.io/component=server", "--output", "json",
            "--sort-by", "{.metadata.creationTimestamp}",
        )  # fmt: skip
        return [pod for pod in json.loads(found)["items"] if "deletionTimestamp" not in pod["metadata"]]

    async def url(self) -> str:
        """Return where it is reached from outside: the node's address and its port there."""
        node = json.loads(await run("kubectl", "get", "nodes", "--output", "json"))["items"][0]
        address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        service = await self.get("service", "askd")
        return f"http://{address}:{service['spec']['ports'][0]['nodePort']}"

    async def rolled(self) -> None:
        """Wait until a rollout is over, and no old pod is left."""
        await self.kubectl("rollout", "status", "deployment/askd", "--timeout", "180s")
        await self.gone()

    async def gone(self) -> None:
        """Wait until no pod is ending: those are asked no more, and may still answer."""
        found = await self.get("pods")
        for pod in found["items"]:
            if "deletionTimestamp" in pod["metadata"]:
                name = f"pod/{pod['metadata']['name']}"
                await self.kubectl("wait", "--for=delete", name, "--timeout", "180s")

    async def ready(self, number: int) -> None:
        """Wait until so many replicas are ready and no others are there."""
        await self.kubectl(
            "wait", "deployment/askd", f"--for=jsonpath={{.status.readyReplicas}}={number}", "--timeout", "180s"
        )
        await self.gone()

    async def restart(self) -> None:
        """Replace every pod by a new one."""
        await self.kubectl("rollout", "restart", "deployment/askd")
        await self.rolled()

    @contextlib.asynccontextmanager
    async def load(self, *kinds: Any) -> AsyncIterator[Load]:
        """Give a load that asks while the block runs, each kind having been answered before it begins."""
        load = Load(await self.url(), list(kinds))
        asking = asyncio.create_task(load.run())
        try:
            await load.warm()
            yield load
            await load.warm()
        finally:
            load.stop()
            await asking
        print(json.dumps(load.report()))


@contextlib.asynccontextmanager
async def namespace() -> AsyncIterator[str]:
    """Give a namespace of its own that enforces the standard `restricted`; it is deleted at the end."""
    name = f"askd-test-{time.time_ns() % 10**9}"
    await run("kubectl", "create", "namespace", name)
    await run("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield name
    finally:
        await run("kubectl", "delete", "namespace", name, "--wait", "--timeout", "120s", check=False)
