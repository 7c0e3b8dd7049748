"""The same file gives the same responses on the host, in a container, in a cluster and with Skaffold."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.slow.command import run_command
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import Connection, Response
from tests.e2e.slow.namespaced_release import ANSWER_FILE, CHART, IMAGE, Namespace, Release
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

ComparableResponse = tuple[int, str, bytes]
REQUESTS = (
    ("/ask?q=hello", "application/json"),
    ("/ask?q=caf%C3%A9+%F0%9F%8D%B5&pieces=3", "application/json"),
    ("/ask?q=hello&pieces=4", "text/event-stream"),
    ("/ask?q=hello", "text/plain"),
    ("/ask?q=hello&wait=soon", "application/json"),
    ("/openapi.json", "application/json"),
)
FILE_HASH = hashlib.sha256(ANSWER_FILE.read_bytes()).hexdigest()
HASH_SCRIPT = (
    "import hashlib, pathlib; print(hashlib.sha256(pathlib.Path('/answers/answer.py').read_bytes()).hexdigest())"
)
SKAFFOLD_CONFIG = """
apiVersion: skaffold/v4beta14
kind: Config
metadata: {{name: mine}}
build:
  tagPolicy: {{inputDigest: {{}}}}
  local: {{push: false}}
  artifacts:
    - image: {image}
      context: {folder}
      sync: {{manual: [{{src: answer.py, dest: /answers}}]}}
deploy:
  helm:
    releases:
      - name: askd
        chartPath: {chart}
        namespace: {namespace}
        setValueTemplates: {{image.repository: "{{{{.IMAGE_REPO}}}}", image.tag: "{{{{.IMAGE_TAG}}}}"}}
        setValues: {{service.type: NodePort, replicaCount: 1}}
"""


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def collect_responses(address: tuple[str, int]) -> list[ComparableResponse]:
    """Send all requests as soon as the server is reachable and ready, and return the responses."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, EOFError):
                connection = await Connection.open(*address)
                try:
                    responses = [await connection.get(target, accept) for target, accept in REQUESTS]
                finally:
                    connection.close()
                if responses[0].status != 503:  # still loading
                    return [comparable(response) for response in responses]


def comparable(response: Response) -> ComparableResponse:
    """Return the parts of a response that must be equal everywhere: everything except the request id."""
    body = response.body.replace(response.headers["x-request-id"].encode(), b"")
    return response.status, response.headers["content-type"], body


@contextlib.asynccontextmanager
async def running(*command: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command during the block, then terminate it and wait for its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKD_")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**environment, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def serve_on_host() -> list[ComparableResponse]:
    """Serve the file with `askd serve`, with an ops port as in the other cases, which changes /openapi.json."""
    port, ops = free_port(), free_port()
    ports = {"ASKD_PORT": str(port), "ASKD_OPS_PORT": str(ops)}
    async with running(sys.executable, "-m", "askd", "serve", str(ANSWER_FILE), **ports):
        return await collect_responses(("127.0.0.1", port))


async def serve_in_container() -> tuple[list[ComparableResponse], str]:
    """Serve the file with `docker run --volume`. Returns the responses and the hash of the file."""
    name, port, ops = f"askd-e2e-{uuid.uuid4().hex[:8]}", free_port(), free_port()
    ports = [f"--publish=127.0.0.1:{number}:{number}" for number in (port, ops)]
    variables = [f"--env=ASKD_PORT={port}", f"--env=ASKD_OPS_PORT={ops}"]
    volume = f"--volume={ANSWER_FILE}:/answers/answer.py:ro"
    async with running("docker", "run", "--rm", "--name", name, *ports, *variables, volume, IMAGE):
        try:
            responses = await collect_responses(("127.0.0.1", port))
            return responses, (await run_command("docker", "exec", name, "python", "-c", HASH_SCRIPT)).strip()
        finally:
            await run_command("docker", "rm", "--force", name, check=False)


async def request_from_pod(release: Release) -> tuple[list[ComparableResponse], str]:
    """Return the responses of a release and the hash of the file in its pod."""
    responses = await collect_responses(await release.address())
    pod = (await release.pods())[0]
    return responses, await release.namespace.kubectl("exec", pod, "--", "python", "-c", HASH_SCRIPT)


def write_project(folder: Path, image: str, namespace: str) -> Path:
    """Write the file, a Dockerfile and the configuration for `skaffold dev`. Returns the configuration."""
    shutil.copy(ANSWER_FILE, folder / "answer.py")
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY --chown=65532:65532 answer.py ./\n", encoding="utf-8")
    text = SKAFFOLD_CONFIG.format(image=image, folder=folder, chart=Path(CHART).resolve(), namespace=namespace)
    for suffix in ("REPO", "TAG"):
        text = text.replace(f"IMAGE_{suffix}", f"IMAGE_{suffix}_{image.replace('-', '_')}")
    (folder / "skaffold.yaml").write_text(text, encoding="utf-8")
    return folder / "skaffold.yaml"


async def serve_with_skaffold(folder: Path) -> tuple[list[ComparableResponse], str]:
    """Serve a copy of the file with `skaffold dev`. Returns the responses and the hash of the copy in the pod."""
    image, namespace = f"askd-e2e-{uuid.uuid4().hex[:8]}", await Namespace.create("skaffold")
    file = write_project(folder, image, namespace.name)
    try:
        async with running("skaffold", "dev", "--filename", str(file), "--port-forward=off", "--tail=false"):
            await namespace.kubectl("wait", "--for=create", "deployment/askd", "--timeout=240s")
            release = Release(namespace)
            await release.wait_for_rollout()
            return await request_from_pod(release)
    finally:
        await namespace.delete()
        rows = (line.split() for line in (await run_command("docker", "images", check=False)).splitlines())
        await run_command("docker", "rmi", *(f"{row[0]}:{row[1]}" for row in rows if row[0] == image), check=False)


async def test_same_responses_everywhere(install: InstallRelease, results: ResultsTable, tmp_path: Path) -> None:
    """`askd serve`, `docker run`, the chart and `skaffold dev` serve an unchanged file with the same responses."""
    on_host = await serve_on_host()
    deployments = {"docker run": await serve_in_container(), "chart": await request_from_pod(await install())}
    if shutil.which("skaffold"):
        deployments["skaffold dev"] = await serve_with_skaffold(tmp_path)
    different = [name for name, result in deployments.items() if result != (on_host, FILE_HASH)]
    assert [response[0] for response in on_host] == [200, 200, 200, 200, 400, 200]
    measured = f"host, {', '.join(deployments)}: {len(REQUESTS)} responses each, sha256 {FILE_HASH[:8]}…; "
    measured += f"different: {different}"
    results.add("same code everywhere", "one file", aim="same bytes, same hash", measured=measured, met=not different)
