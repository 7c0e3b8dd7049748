"""The cluster, namespaces and releases of the proof, and the table at its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from .cluster import Namespace, Release, build, reachable
from .figures import Figures

FIGURES = Figures()
Install = Callable[..., Awaitable[Release]]


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Skip where there is no cluster on this machine; else have the image in it."""
    if why := asyncio.run(reachable()):
        pytest.skip(f"no cluster: {why}")
    asyncio.run(build())


@pytest.fixture
def figures() -> Iterator[Figures]:
    """Give the table of the proof; a row whose aim is missed fails the test at its end."""
    before = len(FIGURES.rows)
    yield FIGURES
    missed = [f"{row.test}: {row.measured}; the aim is {row.aim}" for row in FIGURES.rows[before:] if not row.met]
    assert not missed


@pytest.fixture
async def namespace(request: pytest.FixtureRequest) -> AsyncIterator[Namespace]:
    """Give a namespace, deleted with the test."""
    word = request.node.originalname.removeprefix("test_").replace("_", "-")[:28].strip("-")
    made = await Namespace.create(word)
    try:
        yield made
    finally:
        await made.delete()


@pytest.fixture
def install(namespace: Namespace) -> Install:
    """Give `install(code=True, helm="helm", **values)`, which returns a release that is ready; `__` is a dot."""

    async def installed(*, helm: str = "helm", name: str = "askd", **values: Any) -> Release:
        release = Release(namespace, helm=helm, name=name)
        await release.install(**values)
        return release

    return installed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if FIGURES.rows:
        terminalreporter.write_line(FIGURES.table())
