"""What goes wrong by itself: a crash, a loop that hangs, too much memory; and bad news from a release."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest

from tests.cluster.asking import FAST, VALUES, load
from tests.cluster.cluster import Release

pytestmark = pytest.mark.proof


async def misbehave(release: Release, how: str) -> None:
    """Ask one pod to misbehave, and wait for no answer."""
    connection = await load.Connection.open(*(await release.url()).removeprefix("http://").split(":"))
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3):
            await connection.exchange("askd", load.Kind(path=f"/ask?q={how}"))
    connection.close()


async def restarted(release: Release, seconds: float) -> float:
    """Wait until one container has been restarted and is ready; return after how many seconds."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            pods = await release.pods()
            states = [pod["status"]["containerStatuses"][0] for pod in pods]
            if sum(state["restartCount"] for state in states) == 1 and all(state["ready"] for state in states):
                return time.monotonic() - started


@pytest.mark.parametrize(("how", "seconds"), [("crash", 15.0), ("eat", 60.0), ("hang", 90.0)])
async def test_a_mishap_is_mended(release: Release, how: str, seconds: float) -> None:
    """A process that dies, eats or hangs is replaced in time, and the failures end with it."""
    await release.install(VALUES)
    await misbehave(release, how)
    print(f"{how}: ready again after {await restarted(release, seconds):.1f} s")
    async with release.load(FAST) as asked:
        for _ in range(10):
            await asked.warm()
    asked.clean()


BAD: dict[str, dict[str, Any]] = {
    "image": {"image": {"repository": "askd", "tag": "does-not-exist", "pullPolicy": "Never"}},
    "code": {"answerer": {"spec": "answer.py:answer", "files": {"answer.py": "def answer(q:\n"}}},
    "book": {"answerer": {"spec": "book.yaml", "files": {"book.yaml": "- ask: [a]\n"}}},
    "setting": {"settings": {"trustedProxies": ["10.0.0.1/8"]}},
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_news_are_refused(release: Release, kind: str) -> None:
    """A release that cannot run leaves the old pods serving, also after one of them is deleted; it says why."""
    await release.install(VALUES)
    async with release.load(FAST) as asked:
        told = await release.install({**VALUES, **BAD[kind]}, "--timeout", "20s", check=False)
        assert "Error" in told
        old = (await release.pods())[0]["metadata"]["name"]
        await release.kubectl("delete", "pod", old)
        await release.ready(2)
    asked.clean()
    pods = json.dumps(await release.get("pods"))
    assert any(word in pods for word in ("ErrImageNeverPull", "load failed", "askd: "))
