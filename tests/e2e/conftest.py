"""The cluster's tests need kubectl that reaches a local cluster, docker and Helm; they say what is missing."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.cluster import Release, namespace, run

ROOT: Final = Path(__file__).parents[2]
HELMS: Final = [name for name in ("helm", "helm3") if shutil.which(name)]


@pytest.fixture(scope="session")
def image() -> str:
    """Give the name of askd's image in the cluster: ASKD_TEST_IMAGE, or one that is built and loaded now."""
    given = os.environ.get("ASKD_TEST_IMAGE")
    return given or asyncio.run(_built())


async def _built() -> str:
    name = "askd:cluster-test"
    await run("docker", "build", "--quiet", "--tag", name, str(ROOT))
    context = (await run("kubectl", "config", "current-context")).strip()
    if context.startswith("kind-"):
        await run("kind", "load", "docker-image", name, "--name", context.removeprefix("kind-"))
    elif context.startswith("minikube"):
        await run("minikube", "--profile", context, "image", "load", name)
    return name


@pytest.fixture(params=HELMS)
async def each(request: pytest.FixtureRequest, image: str) -> AsyncIterator[Release]:
    """Give a release for each Helm that is installed."""
    async with namespace() as name:
        yield Release(name, request.param, image)


@pytest.fixture
async def release(image: str) -> AsyncIterator[Release]:
    """Give a release by the first Helm."""
    async with namespace() as name:
        yield Release(name, HELMS[0], image)
