"""Image and releases for tests on a local cluster, which need docker, helm, and kubectl with the cluster as context."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.helm_release import Release, run_command, temporary_namespace

ROOT: Final = Path(__file__).parents[2]
HELM_COMMANDS: Final = [name for name in ("helm", "helm3") if shutil.which(name)]


@pytest.fixture(scope="session")
def image() -> str:
    """Name of askd's image in the cluster: ASKD_TEST_IMAGE, or an image that is built and loaded now."""
    return os.environ.get("ASKD_TEST_IMAGE") or asyncio.run(_build_image())


async def _build_image() -> str:
    name = "askd:cluster-test"
    await run_command("docker", "build", "--quiet", "--tag", name, str(ROOT))
    context = (await run_command("kubectl", "config", "current-context")).strip()
    if context.startswith("kind-"):
        await run_command("kind", "load", "docker-image", name, "--name", context.removeprefix("kind-"))
    elif context.startswith("minikube"):
        await run_command("minikube", "--profile", context, "image", "load", name)
    return name


@pytest.fixture(params=HELM_COMMANDS)
async def release_per_helm(request: pytest.FixtureRequest, image: str) -> AsyncIterator[Release]:
    """A release for each installed version of Helm."""
    async with temporary_namespace() as name:
        yield Release(name, request.param, image)


@pytest.fixture
async def release(image: str) -> AsyncIterator[Release]:
    """A release for the first installed version of Helm."""
    async with temporary_namespace() as name:
        yield Release(name, HELM_COMMANDS[0], image)
