"""The image for development, as `skaffold dev` uses it."""

import json
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from .conftest import ROOT, Container, Run, build

pytestmark = pytest.mark.image

ANSWER: Final = "answers/answer.py"
PROGRAM: Final = "app/service/__init__.py"


def sync(container: Container, name: str, text: str) -> float:
    """Replace a file in it as skaffold does, by tar, as its user; return when."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(text.encode()), 0o644, int(time.time())
        tar.addfile(entry, BytesIO(text.encode()))
    command = ["docker", "exec", "-i", container.name, *["tar", "xmf", "-", "-C", "/", "--no-same-owner"]]
    done = subprocess.run(command, input=stream.getvalue(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic()


async def said(container: Container) -> str:
    """Ask, and return the answer's text."""
    reply = await container.get("/ask?q=x")
    assert reply.status == 200, reply.text
    text: str = json.loads(reply.text)["answer"]
    return text


def says(word: str) -> str:
    """Code that answers with the word."""
    return f"def answer(text):\n    return {word!r}\n"


@pytest.fixture(scope="session")
def dev() -> str:
    """Build the image for development, once for all tests."""
    return build("dev", "--target=dev")


@pytest.fixture
async def developed(dev: str, run: Run, folder: Callable[..., Path]) -> Container:
    """Run an image on top of it, with code in it, as the user that the chart sets."""
    made = folder(Dockerfile=f"FROM {dev}\nCOPY answer.py ./\n", answer__py=says("old"))
    container = await run(build("developed", folder=made), options=("--cap-drop=ALL",))
    await container.event("ready")
    assert container.run("id", "-u") == "65532"
    return container


async def test_code_is_reloaded(developed: Container) -> None:
    """Saved code is served; a broken save is a 503 that says where, while the process lives on; the next mends it."""
    began = sync(developed, ANSWER, says("new"))
    await developed.event("reloaded")
    print(f"\none's own code: {time.monotonic() - began:.2f} s from save to served")
    assert await said(developed) == "new"
    sync(developed, ANSWER, "def answer(:\n")
    await developed.event("broken")
    reply = await developed.get("/ask?q=x")
    assert (reply.status, "answer.py:1: SyntaxError" in reply.text) == (503, True)
    assert (await developed.get("/livez", ops=True)).status == 200
    sync(developed, ANSWER, says("mended"))
    await developed.event("reloaded", nth=2)
    assert await said(developed) == "mended"
    assert await developed.halt(30) == 0


async def test_the_program_is_reloaded(developed: Container) -> None:
    """Askd's own source is reloaded too, and where it is broken the one from before goes on answering."""
    source = (ROOT / "service" / "__init__.py").read_text(encoding="utf-8")
    began = sync(developed, PROGRAM, re.sub(r'__version__ = ".*"', '__version__ = "99.0"', source))
    await developed.event("reloaded")
    print(f"\naskd's own code: {time.monotonic() - began:.2f} s from save to served")
    assert '"version":"99.0"' in (await developed.get("/openapi.json")).text
    sync(developed, PROGRAM, "def broken(:\n")
    await developed.event("worker ended")
    assert await said(developed) == "old"
    assert '"version":"99.0"' in (await developed.get("/openapi.json")).text
    sync(developed, PROGRAM, source)
    await developed.event("reloaded", nth=2)
    assert '"version":"99.0"' not in (await developed.get("/openapi.json")).text
