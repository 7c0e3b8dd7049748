"""Crashes, a blocked event loop, memory exhaustion, and releases that cannot start."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest

from tests.e2e.helm_release import Release
from tests.support.cluster_load import FAST, load
from tests.support.helm_values import BASE_VALUES

pytestmark = pytest.mark.slow


async def trigger_failure(release: Release, question: str) -> None:
    """Send a question that makes one pod fail, without waiting for the response."""
    connection = await load.Connection.open(*(await release.url()).removeprefix("http://").split(":"))
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3):
            await connection.send_request("askd", load.RequestKind(path=f"/ask?q={question}"))
    connection.close()


async def wait_for_restart(release: Release, seconds: float) -> float:
    """Wait until one container has restarted and is ready, and return the seconds that it took."""
    started_at = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            pods = await release.pods()
            states = [pod["status"]["containerStatuses"][0] for pod in pods]
            if sum(state["restartCount"] for state in states) == 1 and all(state["ready"] for state in states):
                return time.monotonic() - started_at


@pytest.mark.parametrize(("question", "seconds"), [("crash", 15.0), ("allocate", 60.0), ("hang", 90.0)])
async def test_failed_container_is_restarted(release: Release, question: str, seconds: float) -> None:
    """A container that crashes, hangs or exceeds its memory limit restarts in time; then no request fails."""
    await release.install(BASE_VALUES)
    await trigger_failure(release, question)
    print(f"{question}: ready again after {await wait_for_restart(release, seconds):.1f} s")
    async with release.under_load(FAST) as requests:
        for _ in range(10):
            await requests.wait_for_requests()
    requests.assert_no_failures()


INVALID_VALUES: dict[str, dict[str, Any]] = {
    "image": {"image": {"repository": "askd", "tag": "does-not-exist", "pullPolicy": "Never"}},
    "code": {"answerer": {"spec": "answer.py:answer", "files": {"answer.py": "def answer(q:\n"}}},
    "book": {"answerer": {"spec": "book.yaml", "files": {"book.yaml": "- ask: [a]\n"}}},
    "setting": {"settings": {"trustedProxies": ["10.0.0.1/8"]}},
}


@pytest.mark.parametrize("cause", INVALID_VALUES)
async def test_failed_upgrade_keeps_the_old_pods(release: Release, cause: str) -> None:
    """Old pods keep serving during an upgrade that cannot start, even if one is deleted; the pods show the reason."""
    await release.install(BASE_VALUES)
    async with release.under_load(FAST) as requests:
        output = await release.install({**BASE_VALUES, **INVALID_VALUES[cause]}, "--timeout", "20s", check=False)
        assert "Error" in output
        old_pod = (await release.pods())[0]["metadata"]["name"]
        await release.kubectl("delete", "pod", old_pod)
        await release.wait_for_replicas(2)
    requests.assert_no_failures()
    pods = json.dumps(await release.get("pods"))
    assert any(text in pods for text in ("ErrImageNeverPull", "answerer_load_failed", "askd: "))
