"""Containers of the image: without arguments, hardened, with user code, and stopped."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from askd.cli.main import main
from tests.image.conftest import ROOT, BuildDerivedImage, Container, RunContainer, docker

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
HARDENED: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def health_check() -> list[str]:
    """Return the command of the Dockerfile's HEALTHCHECK, which `docker inspect` does not show for every engine."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (match,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    command: list[str] = json.loads(match)
    return command


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


@pytest.mark.parametrize("user", ["65532:65532", "12345:0"])
async def test_hardened_container(image: str, run: RunContainer, user: str) -> None:
    """It serves as any user with a read-only root and without network and capabilities."""
    container = await run(image, options=(*HARDENED, "--network=none", f"--user={user}"))
    await container.wait_for_event("ready")
    assert container.run("python", "-c", REQUEST_SCRIPT) == '{"answer":"Hi"}'
    assert container.run("id", "-u") == user.partition(":")[0]


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


async def test_requirement_example(derive: BuildDerivedImage, run: RunContainer) -> None:
    """docs/examples/requirements_txt makes an image with a compiled package and without pip, in four lines."""
    example = EXAMPLES / "requirements_txt"
    assert len((example / "Dockerfile").read_text().splitlines()) == 4
    container = await run(derive("requirement", example), options=(*HARDENED, "--user=12345:0"))
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
