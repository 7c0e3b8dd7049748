"""The development image, whose files `skaffold dev` replaces."""

import asyncio
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

from tests.image.conftest import ROOT, Container, RunContainer, build

pytestmark = pytest.mark.image

ANSWER_FILE: Final = "answers/answer.py"
ASKD_FILE: Final = "app/askd/__init__.py"


def sync(container: Container, name: str, text: str) -> float:
    """Replace a file in the container with tar, as Skaffold does. Returns the time (`time.monotonic`)."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(text.encode()), 0o644, int(time.time())
        tar.addfile(entry, BytesIO(text.encode()))
    command = ["docker", "exec", "-i", container.name, "tar", "xmf", "-", "-C", "/", "--no-same-owner"]
    result = subprocess.run(command, input=stream.getvalue(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    return time.monotonic()


async def get_answer(container: Container) -> str:
    """Send a request and return the answer."""
    response = await container.get("/ask?q=x")
    assert response.status == 200, response.text
    answer: str = json.loads(response.text)["answer"]
    return answer


def code_with_answer(answer: str) -> str:
    """Return code that always returns this answer."""
    return f"def answer(text):\n    return {answer!r}\n"


@pytest.fixture(scope="session")
def development_image() -> str:
    """Build the development image."""
    return build("dev", "--target=dev")


@pytest.fixture
async def container(development_image: str, run: RunContainer, folder: Callable[..., Path]) -> Container:
    """Run an image that is based on it and contains code, as the user that the chart sets."""
    context = folder(Dockerfile=f"FROM {development_image}\nCOPY answer.py ./\n", answer__py=code_with_answer("old"))
    container = await run(build("developed", folder=context), options=("--cap-drop=ALL",))
    await container.wait_for_event("ready")
    assert container.run("id", "-u") == "65532"
    return container


async def test_code_is_reloaded(container: Container) -> None:
    """Saved code is served. Code that cannot be loaded gives a 503 with the position of the error until it is fixed."""
    started_at = sync(container, ANSWER_FILE, code_with_answer("new"))
    await container.wait_for_event("code_reloaded")
    print(f"\nanswer.py: {time.monotonic() - started_at:.2f} s from save to served")
    assert await get_answer(container) == "new"
    sync(container, ANSWER_FILE, "def answer(:\n")
    await container.wait_for_event("code_load_failed")
    response = await container.get("/ask?q=x")
    assert (response.status, "answer.py:1: SyntaxError" in response.text) == (503, True)
    assert (await container.get("/livez", ops=True)).status == 200
    sync(container, ANSWER_FILE, code_with_answer("fixed"))
    await container.wait_for_event("code_reloaded", nth=2)
    assert await get_answer(container) == "fixed"
    assert await container.docker_stop(30) == 0


async def test_askd_source_is_reloaded(container: Container) -> None:
    """The source of askd is reloaded as well; while it cannot be loaded, requests wait."""
    source = (ROOT / "service" / "askd" / "__init__.py").read_text(encoding="utf-8")
    started_at = sync(container, ASKD_FILE, re.sub(r'__version__ = ".*"', '__version__ = "99.0"', source))
    await container.wait_for_event("code_reloaded")
    print(f"\nsource of askd: {time.monotonic() - started_at:.2f} s from save to served")
    assert '"version":"99.0"' in (await container.get("/openapi.json")).text
    sync(container, ASKD_FILE, "def broken(:\n")
    await container.wait_for_event("worker_exited")
    pending = asyncio.create_task(get_answer(container))
    sync(container, ASKD_FILE, source)
    await container.wait_for_event("code_reloaded", nth=2)
    assert await pending == "old"
    assert '"version":"99.0"' not in (await container.get("/openapi.json")).text
