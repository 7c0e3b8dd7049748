"""The number of metric series does not depend on what clients send."""

import random
import string
from collections import deque
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest
from prometheus_client import CollectorRegistry

from askd.app import METRICS
from askd.telemetry.metrics import KNOWN_METHODS, REQUEST_DURATION
from tests.support.app_fixtures import RawServer, server_starter
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture
from tests.support.raw_http import get_request

pytestmark = pytest.mark.slow

REQUESTS = 10_000
KNOWN = (*sorted(KNOWN_METHODS), "PROPFIND", "PURGE")
"""Known methods, and two others that the parser accepts."""
PATHS = ("/ask", "/ask?q=hello", "/ask?q=x", "/ask?q=boom", "/ask?q=nothing", "/", "/docs", "/openapi.json", "/nowhere")
OPS_PATHS = ("/livez", "/healthz", "/readyz", "/startupz", "/metrics", "/assets/nothing")


def all_combinations() -> Iterator[tuple[str, str]]:
    """Yield every method, and an invalid one, for every route."""
    for method in (*KNOWN, "BREW"):
        for path in (*PATHS, *OPS_PATHS):
            yield method, path


def random_request(rng: random.Random) -> tuple[str, str]:
    """Return a random method and path."""
    word = "".join(rng.choices(string.printable, k=rng.randint(1, 30)))
    name = "".join(rng.choices(string.ascii_letters, k=rng.randint(1, 12)))
    question, other_path = f"/ask?q={quote(word)}", f"/{quote(word, safe='')}"
    path = rng.choice([question, other_path, f"/ask?{name}={quote(word)}", f"/assets/{name}"])
    return rng.choice([*KNOWN, name.upper()]), path


async def send_requests(server: RawServer, requests: Iterable[tuple[str, str]]) -> None:
    """Send requests and read the responses; an invalid method closes the connection."""
    pending = deque(requests)
    while pending:
        async with server.connect() as connection:
            status = 0
            while pending and status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_IMPLEMENTED}:
                method, path = pending.popleft()
                connection.send(get_request(path, "Content-Length: 0", method=method))
                status = (await connection.read_response(head_request=method == "HEAD")).status


async def test_clients_cannot_create_series() -> None:
    """10,000 requests with random paths, methods and questions create no new series."""
    rng = random.Random(8)
    with LogCapture():
        async with server_starter() as start:
            server = await start(UppercaseAnswerer())
            registry = server.app[METRICS].registry
            await send_requests(server, all_combinations())
            before = series(registry)
            await send_requests(server, (random_request(rng) for _ in range(REQUESTS)))
            after = series(registry)
    assert after.keys() - before.keys() == set()
    methods = {label[1] for name in after for label in name[1:] if label[0] == "http_request_method"}
    assert methods == {*KNOWN_METHODS, "_OTHER"}
    counts = (value for name, value in after.items() if name[0] == f"{REQUEST_DURATION}_count")
    assert sum(counts) >= REQUESTS


def series(registry: CollectorRegistry) -> dict[tuple[Any, ...], float]:
    """Return the value of every series by name and labels."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}
