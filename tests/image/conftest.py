"""Images and containers under test. Docker is what is on the PATH, Podman behind its client included."""

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

from tests.process.conftest import Process

ROOT: Final = Path(__file__).parents[2]
NAME: Final = f"askd-test-{uuid.uuid5(uuid.NAMESPACE_URL, str(ROOT)).hex[:8]}"
"""What the images of this checkout are called, so that those of another, or of people, are left alone."""
VARIABLES: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_DRAIN_DELAY": "0"}


def docker(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a docker command to its end; one that fails while `check` fails the test with what it said."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(map(str, words))}:\n{done.stdout[-4000:]}{done.stderr}"
    return done


def build(tag: str, *options: str, folder: Path = ROOT) -> str:
    """Build a folder and return the image's name; how long it took is printed."""
    began = time.monotonic()
    docker("build", "--tag", f"{NAME}:{tag}", *options, folder)
    print(f"\nbuilt {tag} in {time.monotonic() - began:.1f} s")
    return f"{NAME}:{tag}"


def described(image: str, template: str) -> str:
    """Return what `docker inspect` says of an image."""
    return docker("inspect", "--format", template, image).stdout.strip()


@pytest.fixture(scope="session")
def image() -> str:
    """Build the server's image, once for all tests."""
    labels = {
        "VERSION": "9.8.7",
        "REVISION": "abcdef",
        "CREATED": "2026-01-02T03:04:05Z",
        "SOURCE": "https://example.org",
    }
    return build("runtime", *(f"--build-arg={name}={value}" for name, value in labels.items()))


@pytest.fixture(scope="session")
def pip(image: str) -> str:
    """Build the image that has pip, once for all tests."""
    return build("pip", "--target=pip")


Derive = Callable[[str, Path], str]


@pytest.fixture(scope="session")
def derive(image: str, pip: str) -> Derive:
    """Give `derive(name, folder)`, which builds a folder's Dockerfile on the images under test."""

    def derived(name: str, folder: Path) -> str:
        text = (folder / "Dockerfile").read_text(encoding="utf-8")
        text = re.sub(r"\baskd:pip\b", pip, re.sub(r"(?m)^(FROM |ARG ASKD=)askd$", rf"\g<1>{image}", text))
        assert NAME in text
        file = folder / "Dockerfile.test"
        try:
            file.write_text(text, encoding="utf-8")
            return build(name, "--file", str(file), folder=folder)
        finally:
            file.unlink()

    return derived


class Container(Process):
    """A container that runs in the foreground, so that its log is the process's."""

    def __init__(self, process: asyncio.subprocess.Process, client: aiohttp.ClientSession, name: str) -> None:
        super().__init__(process, client)
        self.name = name

    def run(self, *command: str) -> str:
        """Run a command in it, as its user, and return what it printed."""
        return docker("exec", self.name, *command).stdout.strip()

    async def halt(self, seconds: int) -> int:
        """Do `docker stop` with so many seconds until it is killed; return the exit code."""
        await asyncio.to_thread(docker, "stop", "--time", str(seconds), self.name)
        return await self.ended()


Run = Callable[..., Awaitable[Container]]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Give `run(image, *command, options=(), **variables)`, which runs a container until the test ends."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(force_close=True)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def started(image: str, *command: str, options: Sequence[str] = (), **variables: str) -> Container:
            ports = free_port(), free_port()
            given = {"ASKD_PORT": str(ports[0]), "ASKD_OPS_PORT": str(ports[1]), **VARIABLES, **variables}
            name = f"{NAME}-{uuid.uuid4().hex[:8]}"
            process = await asyncio.create_subprocess_exec(
                *("docker", "run", "--rm", "--name", name),
                *(f"--publish=127.0.0.1:{port}:{port}" for port in ports),
                *(f"--env={key}={value}" for key, value in given.items()),
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

        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Give `folder(name=text, …)`, which writes files that everybody may read; `__` in a name is a dot."""

    def written(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        return tmp_path

    return written


@pytest.fixture(scope="session")
def hadolint() -> str:
    """Give the command; a test that needs it is skipped where it is not installed."""
    command = shutil.which("hadolint") or shutil.which("hadolint", path=ROOT / ".venv-lint" / "bin")
    if command is None:
        pytest.skip("hadolint is not installed: make lint-image installs it")
    return command
