"""Installation with Helm 3 and Helm 4 under Pod Security `restricted`, and with docker without privileges."""

import asyncio
import contextlib
import json
import subprocess
import time
import uuid

import pytest

from tests.e2e.slow.command import run_command
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.namespaced_release import IMAGE
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

REQUEST_SCRIPT = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:2024/ask?q=hello').read().decode())"
DOCKER_OPTIONS = ("--detach", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.mark.parametrize("helm", ["helm", "helm3"])
async def test_install(install: InstallRelease, results: ResultsTable, helm: str) -> None:
    """Without values, it installs in a restricted namespace, is ready within 10 s, and passes `helm test`."""
    started_at = time.monotonic()
    release = await install(code=False, helm=helm)
    seconds = time.monotonic() - started_at
    pods = await release.namespace.get("pods", "--selector=app.kubernetes.io/component=server")
    security = [pod["spec"]["containers"][0]["securityContext"] for pod in pods]
    assert len(pods) == 2
    assert all(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] for context in security)
    results.add("installation", f"{helm} install --wait", aim="< 10 s", measured=f"{seconds:.1f} s", met=seconds < 10)
    output = await release.helm("test", release.name)
    met = "Succeeded" in output
    results.add("installation", f"{helm} test", aim="succeeds", measured="succeeded" if met else output[-500:], met=met)


async def test_docker(results: ResultsTable) -> None:
    """A container without network and writable root answers within 10 s."""
    name = f"askd-e2e-{uuid.uuid4().hex[:8]}"
    started_at = time.monotonic()
    command = ["docker", "run", *DOCKER_OPTIONS, "--name", name, IMAGE]
    started = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await started.wait()
        answer = ""
        while not answer and time.monotonic() - started_at < 20:
            answer = (await run_command("docker", "exec", name, "python", "-c", REQUEST_SCRIPT, check=False)).strip()
            with contextlib.suppress(ValueError):
                answer = json.loads(answer)["answer"]
                break
            answer = ""
        seconds = time.monotonic() - started_at
    finally:
        await run_command("docker", "rm", "--force", name, check=False)
    assert answer == "Hi"
    aim, test = "answers < 10 s", "docker run --network none --read-only"
    results.add("installation", test, aim=aim, measured=f"answered after {seconds:.1f} s", met=seconds < 10)
