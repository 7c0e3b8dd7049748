"""It does not change your code: the same file gives the same bytes on a laptop, in a container and in a cluster."""

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

from .cluster import CHART, CODE, IMAGE, Namespace, Release
from .command import run
from .conftest import Install
from .figures import Figures
from .load import Connection, Reply

pytestmark = pytest.mark.proof

QUESTIONS = (
    ("/ask?q=hello", "application/json"),
    ("/ask?q=caf%C3%A9+%F0%9F%8D%B5&pieces=3", "application/json"),
    ("/ask?q=hello&pieces=4", "text/event-stream"),
    ("/ask?q=hello", "text/plain"),
    ("/ask?q=hello&wait=soon", "application/json"),
    ("/openapi.json", "application/json"),
)
HASH = hashlib.sha256(CODE.read_bytes()).hexdigest()
SUM = "import hashlib, pathlib; print(hashlib.sha256(pathlib.Path('/answers/answer.py').read_bytes()).hexdigest())"
SKAFFOLD = """
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
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def bytes_of(address: tuple[str, int]) -> list[tuple[int, str, bytes]]:
    """Return what comes for every question, as soon as there is somebody who answers."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, EOFError):
                connection = await Connection.open(*address)
                try:
                    replies = [await connection.get(target, accept) for target, accept in QUESTIONS]
                finally:
                    connection.close()
                if replies[0].status != 503:  # it is still loading
                    return [same(reply) for reply in replies]


def same(reply: Reply) -> tuple[int, str, bytes]:
    """Return what has to be alike wherever it is served: all but the request's id."""
    body = reply.body.replace(reply.headers["x-request-id"].encode(), b"")
    return reply.status, reply.headers["content-type"], body


@contextlib.asynccontextmanager
async def running(*words: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command as long as the block; it is asked to end, and waited for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKD_")}
    process = await asyncio.create_subprocess_exec(
        *words,
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


async def on_a_laptop() -> list[tuple[int, str, bytes]]:
    """Serve the file with `askd serve`; with an ops port, as the others have, the contract leaves its paths out."""
    port, ops = free_port(), free_port()
    ports = {"ASKD_PORT": str(port), "ASKD_OPS_PORT": str(ops)}
    async with running(sys.executable, "-m", "service", "serve", str(CODE), **ports):
        return await bytes_of(("127.0.0.1", port))


async def in_a_container() -> tuple[list[tuple[int, str, bytes]], str]:
    """Serve the file with `docker run --volume`."""
    name, port, ops = f"askd-proof-{uuid.uuid4().hex[:8]}", free_port(), free_port()
    ports = [f"--publish=127.0.0.1:{each}:{each}" for each in (port, ops)]
    variables = [f"--env=ASKD_PORT={port}", f"--env=ASKD_OPS_PORT={ops}"]
    volume = f"--volume={CODE}:/answers/answer.py:ro"
    async with running("docker", "run", "--rm", "--name", name, *ports, *variables, volume, IMAGE):
        try:
            found = await bytes_of(("127.0.0.1", port))
            return found, (await run("docker", "exec", name, "python", "-c", SUM)).strip()
        finally:
            await run("docker", "rm", "--force", name, check=False)


async def in_a_pod(release: Release) -> tuple[list[tuple[int, str, bytes]], str]:
    """Ask a release, and look into its pod."""
    found = await bytes_of(await release.address())
    pod = (await release.pods())[0]
    return found, await release.namespace.kubectl("exec", pod, "--", "python", "-c", SUM)


def project(folder: Path, image: str, namespace: str) -> Path:
    """Write what `skaffold dev` needs beside the file, and return its configuration."""
    shutil.copy(CODE, folder / "answer.py")
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY --chown=65532:65532 answer.py ./\n", encoding="utf-8")
    text = SKAFFOLD.format(image=image, folder=folder, chart=Path(CHART).resolve(), namespace=namespace)
    for word in ("REPO", "TAG"):
        text = text.replace(f"IMAGE_{word}", f"IMAGE_{word}_{image.replace('-', '_')}")
    (folder / "skaffold.yaml").write_text(text, encoding="utf-8")
    return folder / "skaffold.yaml"


async def in_skaffold(folder: Path) -> tuple[list[tuple[int, str, bytes]], str]:
    """Serve a copy of the file with `skaffold dev`."""
    image, namespace = f"askd-proof-{uuid.uuid4().hex[:8]}", await Namespace.create("skaffold")
    file = project(folder, image, namespace.name)
    try:
        async with running("skaffold", "dev", "--filename", str(file), "--port-forward=off", "--tail=false"):
            await namespace.kubectl("wait", "--for=create", "deployment/askd", "--timeout=240s")
            release = Release(namespace)
            await release.rolled()
            return await in_a_pod(release)
    finally:
        await namespace.delete()
        rows = (line.split() for line in (await run("docker", "images", check=False)).splitlines())
        await run("docker", "rmi", *(f"{row[0]}:{row[1]}" for row in rows if row[0] == image), check=False)


async def test_one_file_everywhere(install: Install, figures: Figures, tmp_path: Path) -> None:
    """Laptop, `docker run`, chart and `skaffold dev` serve one file with the same bytes, and do not change it."""
    laptop = await on_a_laptop()
    places = {"docker run": await in_a_container(), "chart": await in_a_pod(await install())}
    if shutil.which("skaffold"):
        places["skaffold dev"] = await in_skaffold(tmp_path)
    differing = [name for name, (found, hashed) in places.items() if (found, hashed) != (laptop, HASH)]
    assert [reply[0] for reply in laptop] == [200, 200, 200, 200, 400, 200]
    measured = f"laptop, {', '.join(places)}: {len(QUESTIONS)} replies each, sha256 {HASH[:8]}…; differing: {differing}"
    figures.add(
        "does not change your code", "one file", aim="same bytes, same hash", measured=measured, met=not differing
    )
