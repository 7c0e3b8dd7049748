"""Cluster, namespaces and releases of the slow tests, and the table of their results."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.e2e.slow.namespaced_release import Namespace, Release, build_image, cluster_unavailable_reason
from tests.e2e.slow.results_table import ResultsTable

RESULTS = ResultsTable()
InstallRelease = Callable[..., Awaitable[Release]]


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Skip the tests unless a cluster on this machine is available; load the image into it."""
    if reason := asyncio.run(cluster_unavailable_reason()):
        pytest.skip(f"no cluster: {reason}")
    asyncio.run(build_image())


@pytest.fixture
def results() -> Iterator[ResultsTable]:
    """Return the table of results. A test that added a row with a missed aim fails at its end."""
    before = len(RESULTS.rows)
    yield RESULTS
    missed = [f"{row.test}: {row.measured}; the aim is {row.aim}" for row in RESULTS.rows[before:] if not row.met]
    assert not missed


@pytest.fixture
async def namespace(request: pytest.FixtureRequest) -> AsyncIterator[Namespace]:
    """Create a namespace that is named after the test, and delete it after the test."""
    suffix = request.node.originalname.removeprefix("test_").replace("_", "-")[:28].strip("-")
    created = await Namespace.create(suffix)
    try:
        yield created
    finally:
        await created.delete()


@pytest.fixture
def install(namespace: Namespace) -> InstallRelease:
    """`install(code=True, helm="helm", **values)` returns a release that is ready; `__` in a value's name is a dot."""

    async def install(*, helm: str = "helm", name: str = "askd", **values: Any) -> Release:
        release = Release(namespace, helm=helm, name=name)
        await release.install(**values)
        return release

    return install


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of results."""
    if RESULTS.rows:
        terminalreporter.write_line(RESULTS.table())
