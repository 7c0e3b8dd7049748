"""Upgrades that cannot start: the old pods keep serving, and the reason is shown."""

from typing import Any

import pytest

from tests.e2e.slow import node_processes
from tests.e2e.slow.command import CommandFailed
from tests.e2e.slow.conftest import InstallRelease
from tests.e2e.slow.load_generator import FAST, LoadGenerator, RequestKind, summarise
from tests.e2e.slow.namespaced_release import Release
from tests.e2e.slow.results_table import ResultsTable

pytestmark = pytest.mark.slow

SLOW = RequestKind(name="slow", query="q=hello&wait=4", keepalive_connections=2, new_connections=2)
INVALID_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "an image that does not exist": ({"image__tag": "never-built"}, "never-built"),
    "a broken book": (
        {"answerer__files": {"book.yaml": "- ask: [hello\n"}, "answerer__spec": "book.yaml"},
        "book.yaml",
    ),
    "broken code": ({"answerer__files": {"answer.py": "def answer(text:\n"}}, "answer.py:1"),
    "a bad setting": ({"settings__trustedProxies": ["10.0.0.1/8"]}, "ASKD_TRUSTED_PROXIES"),
}


async def describe_new_pods(release: Release, old_pods: set[str]) -> str:
    """Return the descriptions and logs of the new pods."""
    texts = []
    for pod in set(await release.pods()) - old_pods:
        texts.append(await release.namespace.kubectl("describe", "pod", pod))
        texts.append(await release.namespace.kubectl("logs", pod, "--previous", check=False))
        texts.append(await release.namespace.kubectl("logs", pod, check=False))
    return "\n".join(texts)


@pytest.mark.parametrize("cause", INVALID_VALUES)
async def test_failed_upgrade(install: InstallRelease, results: ResultsTable, cause: str) -> None:
    """The upgrade fails with its reason, and the old pods serve, even if one is deleted and one is killed."""
    release, (values, reason) = await install(), INVALID_VALUES[cause]
    old_pods = await release.pods()
    async with LoadGenerator(
        await release.address(),
        [FAST, SLOW],
    ) as load:
        await load.wait_for_requests(300)
        with pytest.raises(CommandFailed):
            await release.upgrade(**values, wait="25s")
        description = await describe_new_pods(release, set(old_pods))
        await release.namespace.kubectl("delete", "pod", old_pods[0], "--wait=true")
        await release.namespace.kubectl("wait", f"deployment/{release.name}", "--for=condition=Available")
        await load.wait_for_requests(300)
    results.add("failed releases", cause, aim="0 failed", measured=summarise(load.samples), met=not load.failures)
    await node_processes.kill_server(release.namespace, old_pods[1])
    async with LoadGenerator(await release.address(), [FAST]) as load:
        await load.wait_without_failures(3.0)
    met = reason in description
    after = f"{len(load.failures)} failed after kill -9 of an old pod, then none"
    measured = f"'{reason}' is {'' if met else 'NOT '}shown; {after}"
    results.add("failed releases", cause, aim="reason shown, old pods serve", measured=measured, met=met)
