"""A cloud runs it: both Helms install it under Pod Security restricted, and docker runs it without rights."""

import asyncio
import contextlib
import json
import subprocess
import time
import uuid

import pytest

from .cluster import IMAGE
from .command import run
from .conftest import Install
from .figures import Figures

pytestmark = pytest.mark.proof

INSIDE = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:2024/ask?q=hello').read().decode())"
DOCKER = ("--detach", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.mark.parametrize("helm", ["helm", "helm3"])
async def test_install(install: Install, figures: Figures, helm: str) -> None:
    """It installs with nothing set in a restricted namespace, is ready within 10 s, and passes `helm test`."""
    began = time.monotonic()
    release = await install(code=False, helm=helm)
    seconds = time.monotonic() - began
    pods = await release.namespace.get("pods", "--selector=app.kubernetes.io/component=server")
    security = [pod["spec"]["containers"][0]["securityContext"] for pod in pods]
    assert len(pods) == 2
    assert all(each["readOnlyRootFilesystem"] and not each["allowPrivilegeEscalation"] for each in security)
    figures.add("runs it", f"{helm} install --wait", aim="< 10 s", measured=f"{seconds:.1f} s", met=seconds < 10)
    said = await release.helm("test", release.name)
    met = "Succeeded" in said
    figures.add("runs it", f"{helm} test", aim="succeeds", measured="succeeded" if met else said[-500:], met=met)


async def test_docker(figures: Figures) -> None:
    """`docker run --network none --read-only` answers, and is healthy, within 10 s."""
    name = f"askd-proof-{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    words = ["docker", "run", *DOCKER, "--name", name, IMAGE]
    started = await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await started.wait()
        answer = ""
        while not answer and time.monotonic() - began < 20:
            answer = (await run("docker", "exec", name, "python", "-c", INSIDE, check=False)).strip()
            with contextlib.suppress(ValueError):
                answer = json.loads(answer)["answer"]
                break
            answer = ""
        seconds = time.monotonic() - began
    finally:
        await run("docker", "rm", "--force", name, check=False)
    assert answer == "Hi"
    aim, test = "answers < 10 s", "docker run --network none --read-only"
    figures.add("runs it", test, aim=aim, measured=f"answered after {seconds:.1f} s", met=seconds < 10)
