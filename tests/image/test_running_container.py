"""The image, run: alone, hardened, with code of one's own, and stopped."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from service.cli import main

from .conftest import ROOT, Container, Derive, Run, docker

pytestmark = pytest.mark.image

Folder = Callable[..., Path]
EXAMPLES: Final = ROOT / "docs" / "examples"
SHOUT: Final = "def answer(text):\n    return text.upper()\n"
SLOW: Final = """
import logging, time

def answer(text):
    logging.getLogger("code").warning("begun")
    time.sleep(4)
    return text
"""
INSIDE: Final = "import os, urllib.request as r; print(r.urlopen(f'http://127.0.0.1:{os.environ[\"ASKD_PORT\"]}/ask?q=hello').read().decode())"
HARDENED: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def health_check() -> list[str]:
    """Return the command of the Dockerfile's HEALTHCHECK; not every engine shows it in `docker inspect`."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (found,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    command: list[str] = json.loads(found)
    return command


async def ask(container: Container, query: str = "q=hello", **more: Any) -> Any:
    """Ask as soon as it is ready, and return the body of what must be a 200."""
    await container.event("ready")
    reply = await container.get(f"/ask?{query}", **more)
    assert reply.status == 200, reply.text
    return json.loads(reply.text)


async def test_it_answers_alone(image: str, run: Run) -> None:
    """`docker run` without a word more serves the built-in book, with askd as process 1."""
    container = await run(image)
    await container.event("ready")
    assert await ask(container) == {"answer": "Hi"}
    assert container.run("cat", "/proc/1/comm") == "askd"
    assert container.run("id", "-u") == "65532"
    assert await container.halt(30) == 0
    assert container.events("stopped")


@pytest.mark.parametrize("user", ["65532:65532", "12345:0"])
async def test_it_needs_no_rights(image: str, run: Run, user: str) -> None:
    """It answers with a read-only root, without network and capabilities, as any user."""
    container = await run(image, options=(*HARDENED, "--network=none", f"--user={user}"))
    await container.event("ready")
    assert container.run("python", "-c", INSIDE) == '{"answer":"Hi"}'
    assert container.run("id", "-u") == user.partition(":")[0]


async def test_its_health(image: str, run: Run) -> None:
    """The health check succeeds where askd is ready and fails where it is not there, without an interpreter."""
    command = health_check()
    assert command[0] == "bash"
    container = await run(image)
    await container.event("ready")
    began = time.monotonic()
    container.run(*command)
    print(f"\na check took {(time.monotonic() - began) * 1000:.0f} ms, docker exec included")
    assert docker("exec", "--env=ASKD_OPS_PORT=1", container.name, *command, check=False).returncode != 0


async def test_health_follows_readiness(image: str, run: Run, folder: Folder) -> None:
    """While the code says that it is not ready the health check fails."""
    code = f"{SHOUT}def ready():\n    return False\n"
    volume = f"--volume={folder(mine__py=code)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "mine.py:answer", options=(volume,))
    await container.event("ready")
    assert docker("exec", container.name, *health_check(), check=False).returncode != 0


async def test_mounted_code(image: str, run: Run, folder: Folder) -> None:
    """A file that is mounted is served as it is."""
    volume = f"--volume={folder(mine__py=SHOUT)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "/answers/mine.py:answer", options=(*HARDENED, volume))
    assert await ask(container) == {"answer": "HELLO"}


async def test_an_image_of_two_lines(derive: Derive, run: Run, folder: Folder) -> None:
    """`FROM askd` and `COPY answer.py ./` are an image that serves it."""
    container = await run(derive("two", folder(Dockerfile="FROM askd\nCOPY answer.py ./\n", answer__py=SHOUT)))
    assert await ask(container) == {"answer": "HELLO"}
    assert container.run("id", "-u") == "65532"


async def test_the_book(derive: Derive, run: Run) -> None:
    """docs/examples/book is an image that answers from its book."""
    container = await run(derive("book", EXAMPLES / "book"), options=HARDENED)
    assert (await ask(container, "q=when+are+you+open"))["answer"] == "Monday to Friday, nine to five."


async def test_the_requirement(derive: Derive, run: Run) -> None:
    """docs/examples/requirement is an image of four lines, whose package is there, compiled; pip is not."""
    example = EXAMPLES / "requirement"
    assert len((example / "Dockerfile").read_text().splitlines()) == 4
    container = await run(derive("requirement", example), options=(*HARDENED, "--user=12345:0"))
    assert await ask(container, "q=%23+Hello") == {"answer": "<h1>Hello</h1>"}
    assert container.run("python", "-c", "import importlib.util as u; print(u.find_spec('pip'))") == "None"
    packages = container.run("find", "/packages", "-name", "*.pyc").splitlines()
    assert any("markdown_it" in name for name in packages)
    container.run("test", "!", "-e", "/mnt/__main__.py")


async def test_the_graph(derive: Derive, run: Run) -> None:
    """docs/examples/langgraph is an image that serves its langgraph.json."""
    container = await run(derive("langgraph", EXAMPLES / "langgraph"), options=HARDENED)
    assert (await container.event("ready"))["kind"] == "graph"
    assert await ask(container, "q=soup&thread=a") == {"answer": "Your order: soup. Anything else?"}


def test_askds_own_versions_are_kept(image: str, pip: str, folder: Folder) -> None:
    """A package that needs another version of what askd was tested with is refused while the image is built."""
    text = f"FROM {image}\nRUN --mount=from={pip},target=/mnt python /mnt install 'aiohttp<3.10'\n"
    done = docker("build", folder(Dockerfile=text), check=False)
    assert done.returncode != 0
    assert "conflict" in done.stdout + done.stderr


async def test_what_init_writes(derive: Derive, run: Run, tmp_path: Path) -> None:
    """The folder of `askd init` is an image that serves its function."""
    assert main(["init", str(tmp_path / "mine")]) == 0
    container = await run(derive("init", tmp_path / "mine"), options=HARDENED)
    assert await ask(container, "q=Ada&lang=fr") == {"answer": "Bonjour, Ada!"}


@pytest.mark.parametrize(("seconds", "answered"), [(30, True), (1, False)])
async def test_a_stop_with_time_loses_nothing(
    image: str, run: Run, folder: Folder, *, seconds: int, answered: bool
) -> None:
    """A question of 4 s outlives a stop that gives it the time, also with the drain's default; else it is cut."""
    volume = f"--volume={folder(mine__py=SLOW)}/mine.py:/answers/mine.py:ro"
    container = await run(image, "serve", "mine.py:answer", options=(volume,), ASKD_DRAIN_DELAY="2")
    await container.event("ready")
    question = asyncio.create_task(ask(container, "q=slow"))
    await container.event("begun")
    began = time.monotonic()
    code = await container.halt(seconds)
    print(f"\ndocker stop -t {seconds}: {time.monotonic() - began:.1f} s, exit code {code}")
    if answered:
        assert (await question, code) == ({"answer": "slow"}, 0)
    else:
        with pytest.raises(aiohttp.ClientError):
            await question
        assert not container.events("stopped")
