"""Clients cannot make series."""

import random
import string
from collections import deque
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from urllib.parse import quote

from prometheus_client import CollectorRegistry

from service.app import METRICS
from service.telemetry.tally import METHODS
from tests.fakes import Upper
from tests.telemetry.captured import Captured
from tests.web.wire import Wire, get, wiring

MANY = 10_000
KNOWN = (*sorted(METHODS), "PROPFIND", "PURGE")
"""Methods of askd, and two that its parser lets through."""
PATHS = ("/ask", "/ask?q=hello", "/ask?q=x", "/ask?q=boom", "/ask?q=nothing", "/", "/docs", "/openapi.json", "/nowhere")
PATHS_OF_OPS = ("/livez", "/healthz", "/readyz", "/startupz", "/metrics", "/assets/nothing")


def every_kind() -> Iterator[tuple[str, str]]:
    """Every method, and one that is none, at every route: what there may be."""
    for method in (*KNOWN, "BREW"):
        for path in (*PATHS, *PATHS_OF_OPS):
            yield method, path


def anything(chance: random.Random) -> tuple[str, str]:
    """A random method, path and question."""
    word = "".join(chance.choices(string.printable, k=chance.randint(1, 30)))
    name = "".join(chance.choices(string.ascii_letters, k=chance.randint(1, 12)))
    question, elsewhere = f"/ask?q={quote(word)}", f"/{quote(word, safe='')}"
    path = chance.choice([question, elsewhere, f"/ask?{name}={quote(word)}", f"/assets/{name}"])
    return chance.choice([*KNOWN, name.upper()]), path


async def exchanged(server: Wire, requests: Iterable[tuple[str, str]]) -> None:
    """Send requests and read their responses; what is no HTTP (a method that nobody knows) ends its connection."""
    left = deque(requests)
    while left:
        async with server.open() as line:
            status = 0
            while left and status != HTTPStatus.BAD_REQUEST:
                method, path = left.popleft()
                line.send(get(path, "Content-Length: 0", method=method))
                status = (await line.reply(bodiless=method == "HEAD")).status


async def test_nothing_that_clients_send_adds_a_series() -> None:
    """10,000 random paths, methods and questions later there are the series that there were."""
    chance = random.Random(8)
    with Captured():
        async with wiring() as start:
            server = await start(Upper())
            registry = server.app[METRICS].registry
            await exchanged(server, every_kind())
            before = series(registry)
            await exchanged(server, (anything(chance) for _ in range(MANY)))
            after = series(registry)
    assert after.keys() - before.keys() == set()
    counted = (value for name, value in after.items() if name[0] == "askd_requests_total")
    assert sum(counted) >= MANY


def series(registry: CollectorRegistry) -> dict[tuple[object, ...], float]:
    """Return every series by name and labels, with its value."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}
