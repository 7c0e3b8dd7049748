"""Rotation of tokens in their Secret: pods accept the new one and refuse the old one, and no request fails."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from askd.guards.tokens import generate_token
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import Connection, LoadGenerator, RequestKind, connect_to_each_replica, summarise
from tests.e2e.slow.namespaced_release import Namespace, Release
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

WARMUP_REQUESTS = 300
MAX_SECONDS = 150.0
"""Seconds after which the kubelet should have updated the files of a Secret in every pod."""


def tokens_secret(lines: Mapping[str, str]) -> dict[str, Any]:
    """Return the Secret for `auth.existingSecret`, with these lines by their key."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokens"}, "stringData": dict(lines)}


async def wait_for_status(release: Release, load: LoadGenerator, token: str, status: int) -> list[float]:
    """Wait until every pod responds to a token with this status. Returns the seconds that each pod took."""
    started_at, seconds = time.monotonic(), []
    waiting: dict[str, Connection] = await connect_to_each_replica(await release.address(), await release.pods())
    while waiting and time.monotonic() - started_at < MAX_SECONDS:
        await load.wait_for_requests(20)
        for pod, connection in list(waiting.items()):
            if (await connection.get("/ask?q=hello", token=token)).status == status:
                seconds.append(time.monotonic() - started_at)
                waiting.pop(pod).close()
    assert not waiting, f"{len(waiting)} pods do not respond with {status} after {MAX_SECONDS:.0f} s"
    return seconds


def kinds(token: str) -> list[RequestKind]:
    """Return fast and slow requests with a token."""
    return [
        RequestKind(name="fast", token=token, keepalive_connections=6, new_connections=4),
        RequestKind(name="slow", query="q=hello&wait=4", token=token, keepalive_connections=2, new_connections=2),
    ]


async def test_token_rotation(namespace: Namespace, install: InstallRelease, results: ResultsTable) -> None:
    """While a token is added to the Secret and the old one is removed, no request with a valid token fails."""
    (old, old_line), (new, new_line) = generate_token("old"), generate_token("new")
    await namespace.apply(tokens_secret({"old": old_line}))
    release = await install(auth__existingSecret="tokens")
    address = await release.address()
    async with LoadGenerator(address, kinds(old)) as old_load:
        await old_load.wait_for_requests(WARMUP_REQUESTS)
        await namespace.apply(tokens_secret({"old": old_line, "new": new_line}))
        added = await wait_for_status(release, old_load, new, 200)
    async with LoadGenerator(address, kinds(new)) as new_load:
        await new_load.wait_for_requests(WARMUP_REQUESTS)
        patch = [{"op": "remove", "path": "/data/old"}]
        await namespace.kubectl("patch", "secret", "tokens", "--type=json", f"--patch={json.dumps(patch)}")
        removed = await wait_for_status(release, new_load, old, 401)
    accepted, refused = (", ".join(f"{value:.0f} s" for value in seconds) for seconds in (added, removed))
    text = f"the new one accepted after {accepted}, the old one refused after {refused}; "
    text += summarise([*old_load.samples, *new_load.samples])
    met = not old_load.failures and not new_load.failures
    results.add("exposure", "token rotation under load", aim="0 failed", measured=text, met=met)
