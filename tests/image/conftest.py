"""Images and containers under test. `docker` may be the client of Podman."""

import asyncio
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.askd_process import AskdProcess

ROOT: Final = Path(__file__).parents[2]
IMAGE_NAME: Final = f"askd-test-{uuid.uuid5(uuid.NAMESPACE_URL, str(ROOT)).hex[:8]}"
"""Name of the images of this checkout, which differs from that of other checkouts."""
ENVIRONMENT: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_DRAIN_DELAY": "0"}


def docker(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a docker command. If it fails and `check` is true, the test fails with its output."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    output = f"{result.stdout[-4000:]}{result.stderr}"
    assert not check or result.returncode == 0, f"docker {' '.join(map(str, arguments))}:\n{output}"
    return result


def build(tag: str, *options: str, folder: Path = ROOT) -> str:
    """Build the image of a folder, print the time that it took, and return the name of the image."""
    started_at = time.monotonic()
    docker("build", "--tag", f"{IMAGE_NAME}:{tag}", *options, folder)
    print(f"\nbuilt {tag} in {time.monotonic() - started_at:.1f} s")
    return f"{IMAGE_NAME}:{tag}"


def inspect_image(image: str, template: str) -> str:
    """Return a field of an image, as a template of `docker inspect`."""
    return docker("inspect", "--format", template, image).stdout.strip()


@pytest.fixture(scope="session")
def image() -> str:
    """Build the image of the server."""
    labels = {
        "VERSION": "9.8.7",
        "REVISION": "abcdef",
        "CREATED": "2026-01-02T03:04:05Z",
        "SOURCE": "https://example.org",
    }
    return build("runtime", *(f"--build-arg={name}={value}" for name, value in labels.items()))


@pytest.fixture(scope="session")
def pip(image: str) -> str:
    """Build the image with pip."""
    return build("pip", "--target=pip")


BuildDerivedImage = Callable[[str, Path], str]


@pytest.fixture(scope="session")
def derive(image: str, pip: str) -> BuildDerivedImage:
    """`derive(name, folder)` builds a folder's Dockerfile on the images under test."""

    def derive(name: str, folder: Path) -> str:
        text = (folder / "Dockerfile").read_text(encoding="utf-8")
        text = re.sub(r"\baskd:pip\b", pip, re.sub(r"(?m)^(FROM |ARG ASKD=)askd$", rf"\g<1>{image}", text))
        assert IMAGE_NAME in text
        file = folder / "Dockerfile.test"
        try:
            file.write_text(text, encoding="utf-8")
            return build(name, "--file", str(file), folder=folder)
        finally:
            file.unlink()

    return derive


class Container(AskdProcess):
    """A container that runs in the foreground, so that its log is the output of the process."""

    def __init__(self, process: asyncio.subprocess.Process, client: aiohttp.ClientSession, name: str) -> None:
        super().__init__(process, client)
        self.name = name

    def run(self, *command: str) -> str:
        """Run a command in the container as its user, and return the output."""
        return docker("exec", self.name, *command).stdout.strip()

    async def docker_stop(self, seconds: int) -> int:
        """Stop the container, with `seconds` until it is killed. Returns the exit code."""
        await asyncio.to_thread(docker, "stop", "--time", str(seconds), self.name)
        return await self.wait_for_exit()


RunContainer = Callable[..., Awaitable[Container]]


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
async def run() -> AsyncIterator[RunContainer]:
    """`run(image, *command, options=(), **variables)` runs a container until the test ends."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(force_close=True)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def start(image: str, *command: str, options: Sequence[str] = (), **variables: str) -> Container:
            ports = free_port(), free_port()
            environment = {"ASKD_PORT": str(ports[0]), "ASKD_OPS_PORT": str(ports[1]), **ENVIRONMENT, **variables}
            name = f"{IMAGE_NAME}-{uuid.uuid4().hex[:8]}"
            process = await asyncio.create_subprocess_exec(
                *("docker", "run", "--rm", "--name", name),
                *(f"--publish=127.0.0.1:{port}:{port}" for port in ports),
                *(f"--env={key}={value}" for key, value in environment.items()),
                *(*options, image, *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=1 << 20,
            )
            container = Container(process, client, name)
            stack.push_async_callback(container.kill)
            stack.callback(docker, "rm", "--force", name, check=False)
            return container

        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """`folder(name=text, …)` writes files that all users can read; `__` in a name is a dot."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def hadolint() -> str:
    """Path of hadolint. Tests that need it are skipped if it is not installed."""
    command = shutil.which("hadolint") or shutil.which("hadolint", path=ROOT / ".venv-lint" / "bin")
    if command is None:
        pytest.skip("hadolint is not installed: run make lint-image")
    return command
