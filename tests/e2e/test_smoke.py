"""Fast tests of a release: it installs, answers, passes `helm test`, and rolls out without failures."""

import time

from tests.e2e.helm_release import Release, run_command
from tests.support.cluster_load import FAST, SLOW, STREAM, ClusterLoad, load
from tests.support.helm_values import BASE_VALUES


async def test_install_and_rollout(release_per_helm: Release) -> None:
    """Each Helm installs it under Pod Security `restricted`; it passes `helm test`, and a rollout loses no request."""
    release = release_per_helm
    started_at = time.monotonic()
    await release.install(BASE_VALUES)
    print(f"{release.helm}: ready after {time.monotonic() - started_at:.1f} s")
    assert len(await release.pods()) == 2
    await run_command(release.helm, "test", "askd", "--namespace", release.namespace)
    async with release.under_load(FAST, SLOW, STREAM) as requests:
        await release.rolling_restart()
    assert isinstance(requests, ClusterLoad)
    assert requests.assert_no_failures()["slow"]["requests"] > 20


async def test_built_in_book_without_values(release: Release) -> None:
    """Without values, every replica answers `hello` from the built-in book with the same bytes."""
    await release.install({})
    book = load.RequestKind(name="book", keepalive_connections=2, new_connections=8, pause=0.02)
    async with release.under_load(book) as requests:
        await release.kubectl("rollout", "status", "deployment/askd")
        for _ in range(20):
            await requests.wait_for_requests()
    requests.assert_no_failures()
    assert requests.results["book"].bodies == {b'{"answer":"Hi"}'}
    assert len(requests.results["book"].servers) == 2
