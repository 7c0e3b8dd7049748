"""Containers of the image: without arguments, hardened, with user code, and stopped."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import pytest

from askd.cli.main import main
from tests.image.conftest import (
    IMAGE_NAME,
    ROOT,
    BuildDerivedImage,
    Container,
    RunContainer,
    docker,
    free_port,
    inspect_image,
)

pytestmark = pytest.mark.image

Folder = Callable[..., Path]
EXAMPLES: Final = ROOT / "docs" / "examples"
SHOUT: Final = "def answer(text):\n    return text.upper()\n"
SLOW: Final = """
import logging, time

def answer(text):
    logging.getLogger("code").warning("started")
    time.sleep(4)
    return text
"""
REQUEST_SCRIPT: Final = "import os, urllib.request as r; print(r.urlopen(f'http://127.0.0.1:{os.environ[\"ASKD_PORT\"]}/ask?q=hello').read().decode())"
CRASHING: Final = """
import os, subprocess, time

def answer(text):
    if text == "hang":
        subprocess.run(["sleep", "1000"])
    if text == "exit":
        os._exit(1)
    return str(os.getppid())
"""
COMMANDS_SCRIPT: Final = (
    "import glob; print(sorted((f.split('(')[1].split(')')[0], f.split(') ')[1][0]) "
    "for p in glob.glob('/proc/[0-9]*/stat') for f in [open(p).read()]))"
)
"""Prints the name and the state of each process."""
SIGTERM_BIT: Final = 1 << (signal.SIGTERM - 1)
"""Of the signals that a process handles, in /proc/PID/status."""
HARDENED: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


COMPOSE_NAMES: Final = """
services:
  front: {extra_hosts: ["faq:10.99.1.2"], networks: {default: {ipv4_address: 10.99.1.3}}}
  faq: {networks: {default: {ipv4_address: 10.99.1.2}}}
networks: {default: {ipam: {config: [{subnet: 10.99.1.0/24}]}}}
"""


def get_when_ready(url: str) -> str:
    """Return the body of the first 200, for at most a minute."""
    command = ["curl", "--silent", "--fail", "--retry", "60", "--retry-all-errors", "--retry-delay", "1", url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def health_check() -> list[str]:
    """Return the command of the Dockerfile's HEALTHCHECK, which `docker inspect` does not show for every engine."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (match,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    command: list[str] = json.loads(match)
    return command


def wait_for_signal_handler(name: str) -> None:
    """Wait until process 1 of a container handles SIGTERM. The kernel drops the signal before that."""
    while (process := docker("inspect", "--format={{.State.Pid}}", name, check=False).stdout.strip()) in {"", "0"}:
        pass
    status = Path(f"/proc/{process}/status")
    while not int(re.findall(r"SigCgt:\s*(\w+)", status.read_text())[0], 16) & SIGTERM_BIT:
        pass  # for hundredths of a second


async def ask(container: Container, query: str = "q=hello", **options: Any) -> Any:
    """Send a request when the container is ready, and return the body of the 200 response."""
    await container.wait_for_event("ready")
    response = await container.get(f"/ask?{query}", **options)
    assert response.status == 200, response.text
    return json.loads(response.text)


async def test_run_without_arguments(image: str, run: RunContainer) -> None:
    """`docker run` without arguments serves the built-in book, with askd as process 1."""
    container = await run(image)
    await container.wait_for_event("ready")
    assert await ask(container) == {"answer": "Hi"}
    assert container.run("cat", "/proc/1/comm") == "askd"
    assert container.run("id", "-u") == "65532"
    assert await container.docker_stop(30) == 0
    assert container.events("stopped")


async def test_stop_during_the_start(image: str, run: RunContainer) -> None:
    """Process 1 obeys a SIGTERM as soon as its interpreter runs, long before askd is ready."""
    container = await run(image)
    await asyncio.to_thread(wait_for_signal_handler, container.name)
    assert await container.docker_stop(30) in {0, 128 + signal.SIGTERM}  # shut down, or still importing; not killed


@pytest.mark.parametrize("user", ["65532:65532", "12345:0", f"{random.randrange(1_000_000_000, 1_001_000_000)}:0"])
async def test_hardened_container(image: str, run: RunContainer, user: str) -> None:
    """It serves as any user with a read-only root and without network and capabilities. The last is as on OpenShift."""
    container = await run(image, options=(*HARDENED, "--network=none", f"--user={user}"))
    await container.wait_for_event("ready")
    assert container.run("python", "-c", REQUEST_SCRIPT) == '{"answer":"Hi"}'
    assert container.run("id", "-u") == user.partition(":")[0]


async def test_port_of_the_platform(image: str, run: RunContainer) -> None:
    """PORT, as Cloud Run and Knative set it, is the port of requests and, without an ops port, of the health check."""
    variables = {"ASKD_PORT": "", "ASKD_OPS_PORT": "", "PORT": "8080"}
    container = await run(image, options=("--network=none",), **variables)
    assert (await container.wait_for_event("listening"))["url"] == "http://localhost:8080"
    await container.wait_for_event("ready")
    container.run(*health_check())


async def test_health_check(image: str, run: RunContainer) -> None:
    """The health check succeeds if askd is ready and fails if the port is closed; it starts no interpreter."""
    command = health_check()
    assert command[0] == "bash"
    container = await run(image)
    await container.wait_for_event("ready")
    started_at = time.monotonic()
    container.run(*command)
    print(f"\nthe health check took {(time.monotonic() - started_at) * 1000:.0f} ms, docker exec included")
    assert docker("exec", "--env=ASKD_OPS_PORT=1", container.name, *command, check=False).returncode != 0


async def test_health_follows_readiness(image: str, run: RunContainer, folder: Folder) -> None:
    """The health check fails while the ready hook returns False."""
    code = f"{SHOUT}def ready():\n    return False\n"
    volume = f"--volume={folder(mine__py=code)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "mine.py:answer", options=(volume,))
    await container.wait_for_event("ready")
    assert docker("exec", container.name, *health_check(), check=False).returncode != 0


@pytest.mark.parametrize(("example", "query"), [("book", "q=when+are+you+open"), ("langgraph", "q=soup&thread=a")])
async def test_cold_start(derive: BuildDerivedImage, run: RunContainer, example: str, query: str) -> None:
    """From the start of the container to the first answer; docs/explanation/performance.md has the printed figures."""
    image = derive(example, EXAMPLES / example)
    commands, containers, cpu_times = [], [], []
    for _ in range(5):
        ran_at = datetime.now(UTC)
        container = await run(image, options=HARDENED)
        await ask(container, query)
        answered_at = datetime.now(UTC)
        started_at = datetime.fromisoformat(inspect_image(container.name, "{{.State.StartedAt}}"))
        commands.append((answered_at - ran_at).total_seconds())
        containers.append((answered_at - started_at).total_seconds())
        ticks = (
            container.run("cat", "/proc/1/stat").rpartition(")")[2].split()[11:13]
        )  # of the process, user and system
        cpu_times.append(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
        await container.docker_stop(30)
    print(f"\n{example}, to the first answer: {median(containers):.2f} s from the start of the container", end="")
    print(f" ({min(containers):.2f} to {max(containers):.2f} s), {median(commands):.2f} s from docker run", end="")
    print(f", {median(cpu_times):.2f} s of CPU time")
    assert 0 < median(containers) < median(commands)


async def test_mounted_code(image: str, run: RunContainer, folder: Folder) -> None:
    """A mounted file is served."""
    volume = f"--volume={folder(mine__py=SHOUT)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "/answers/mine.py:answer", options=(*HARDENED, volume))
    assert await ask(container) == {"answer": "HELLO"}


async def test_dockerfile_of_two_lines(derive: BuildDerivedImage, run: RunContainer, folder: Folder) -> None:
    """`FROM askd` and `COPY answer.py ./` make an image that serves the file."""
    container = await run(derive("two", folder(Dockerfile="FROM askd\nCOPY answer.py ./\n", answer__py=SHOUT)))
    assert await ask(container) == {"answer": "HELLO"}
    assert container.run("id", "-u") == "65532"


async def test_book_example(derive: BuildDerivedImage, run: RunContainer) -> None:
    """docs/examples/book makes an image that answers from its book."""
    container = await run(derive("book", EXAMPLES / "book"), options=HARDENED)
    assert (await ask(container, "q=when+are+you+open"))["answer"] == "Monday to Friday, nine to five."


async def test_requirements_txt_example(derive: BuildDerivedImage, run: RunContainer) -> None:
    """docs/examples/requirements_txt makes an image with a compiled package and without pip, in four lines."""
    example = EXAMPLES / "requirements_txt"
    assert len((example / "Dockerfile").read_text().splitlines()) == 4
    container = await run(derive("requirements", example), options=(*HARDENED, "--user=12345:0"))
    assert await ask(container, "q=%23+Hello") == {"answer": "<h1>Hello</h1>"}
    assert container.run("python", "-c", "import importlib.util as u; print(u.find_spec('pip'))") == "None"
    packages = container.run("find", "/packages", "-name", "*.pyc").splitlines()
    assert any("markdown_it" in name for name in packages)
    container.run("test", "!", "-e", "/mnt/__main__.py")


async def test_langgraph_example(derive: BuildDerivedImage, run: RunContainer) -> None:
    """docs/examples/langgraph makes an image that serves its langgraph.json."""
    container = await run(derive("langgraph", EXAMPLES / "langgraph"), options=HARDENED)
    assert (await container.wait_for_event("ready"))["kind"] == "graph"
    assert await ask(container, "q=soup&thread=a") == {"answer": "Your order: soup. Anything else?"}


async def test_compose_example(image: str, tmp_path: Path) -> None:
    """`docker compose up` in docs/examples/compose starts two servers, of which one asks the other."""
    command = ["docker", "compose"] if docker("compose", "version", check=False).returncode == 0 else ["podman-compose"]
    if shutil.which(command[0]) is None:
        pytest.skip("neither docker compose nor podman-compose is installed")
    names = tmp_path / "names.yaml"  # engines without a name server find the other service by its address
    names.write_text(COMPOSE_NAMES, encoding="utf-8")
    folder, port = EXAMPLES / "compose", free_port()
    compose = [*command, "--file", str(folder / "compose.yaml"), "--file", str(names), "--project-name", IMAGE_NAME]
    environment = {**os.environ, "ASKD_IMAGE": image, "FRONT_PORT": str(port)}

    def call(*arguments: str) -> None:
        subprocess.run([*compose, *arguments], env=environment, capture_output=True, check=True, timeout=120)

    try:
        await asyncio.to_thread(call, "up", "--detach")
        url = f"http://127.0.0.1:{port}/ask?q=when+are+you+open"
        answer = await asyncio.to_thread(get_when_ready, url)
        assert json.loads(answer) == {"answer": "Hello! Monday to Friday, nine to five."}
    finally:
        await asyncio.to_thread(call, "down")


def test_versions_of_dependencies_are_kept(image: str, pip: str, folder: Folder) -> None:
    """The build fails if a package needs another version of a dependency than the one askd was tested with."""
    text = f"FROM {image}\nRUN --mount=from={pip},target=/mnt python /mnt install 'aiohttp<3.10'\n"
    result = docker("build", folder(Dockerfile=text), check=False)
    assert result.returncode != 0
    assert "conflict" in result.stdout + result.stderr


async def test_init_folder(derive: BuildDerivedImage, run: RunContainer, tmp_path: Path) -> None:
    """The folder of `askd init` makes an image that serves its function."""
    assert main(["init", str(tmp_path / "mine")]) == 0
    container = await run(derive("init", tmp_path / "mine"), options=HARDENED)
    assert await ask(container, "q=Ada&lang=fr") == {"answer": "Bonjour, Ada!"}


@pytest.mark.parametrize(("seconds", "answered"), [(30, True), (1, False)])
async def test_stop_waits_for_requests(
    image: str, run: RunContainer, folder: Folder, *, seconds: int, answered: bool
) -> None:
    """A request of 4 s finishes if the stop has enough time, with the default drain delay, and is cut off otherwise."""
    volume = f"--volume={folder(mine__py=SLOW)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "mine.py:answer", options=(volume,), ASKD_DRAIN_DELAY="2")
    await container.wait_for_event("ready")
    request = asyncio.create_task(ask(container, "q=slow"))
    await container.wait_for_event("started")
    started_at = time.monotonic()
    code = await container.docker_stop(seconds)
    print(f"\ndocker stop -t {seconds}: {time.monotonic() - started_at:.1f} s, exit code {code}")
    if answered:
        assert (await request, code) == ({"answer": "slow"}, 0)
    else:
        with pytest.raises(aiohttp.ClientError):
            await request
        assert not container.events("stopped")


async def test_worker_processes(image: str, run: RunContainer, folder: Folder) -> None:
    """As process 1 with a read-only root, askd replaces workers that crash or hang, and reaps what they had started."""
    volume = f"--volume={folder(mine__py=CRASHING)}/mine.py:/answers/mine.py:ro"
    options = (*HARDENED, volume, "--env=ASKD_PROCESSES=2", "--env=ASKD_KILL_DELAY=50ms")
    container = await run(image, "serve", "mine.py:answer", options=options)
    assert await ask(container) == {"answer": "1"}
    assert (await container.get("/ask?q=exit")).status == 500
    assert (await container.get("/ask?q=hang", headers={"X-Request-Timeout": "500ms"})).status == 504
    await container.wait_for_event("worker_replaced", reason="killed")
    assert await ask(container, "q=a") == {"answer": "1"}
    async with asyncio.timeout(20):
        while re.search("'(sleep|Z)'", container.run("python", "-c", COMMANDS_SCRIPT)):  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
    assert await container.docker_stop(30) == 0
