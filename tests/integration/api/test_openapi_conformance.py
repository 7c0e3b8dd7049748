"""Property-based conformance: the server behaves as its OpenAPI document says, for valid and invalid requests."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume
from hypothesis import settings as hypothesis_settings
from schemathesis.config import SchemathesisConfig

from askd.answerers import registry
from askd.api import openapi, rendering
from askd.app import LOAD_TASK, create_app, create_server
from askd.config import Settings
from tests.support import documented_function
from tests.support.log_capture import LogCapture
from tests.support.raw_http import open_loopback_listener


class ThreadedServer:
    """A server in its own thread with real connections."""

    def __init__(self, **settings: str) -> None:
        self._settings = Settings.load(settings, {})
        self.contract = asyncio.run(self._build_contract())
        self._started, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _build_contract(self) -> Any:
        """Return the document that the server will serve, because tests are collected before it starts."""
        answerer = registry.create_answerer(self._settings)
        await answerer.load(lambda _line: None)
        max_length = self._settings.effective_question_max_length(answerer.kind)
        document = openapi.build_document(self._settings, answerer, max_length=max_length)
        await answerer.close()
        return json.loads(rendering.encode_json(document))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = create_app(self._settings)
        server = create_server(app, shutdown_timeout=0.1)
        await server.start()
        listener = open_loopback_listener()
        self.url = "http://{}:{}".format(*listener.getsockname()) + self._settings.prefix
        server.listen(listener)
        await app[LOAD_TASK]
        self._started.set()
        await self._stop.wait()
        await server.close()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._started.wait(10)
        return self.url

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


CODE_SPEC = f"{Path(documented_function.__file__)}:answer"
SERVERS = {
    "book": ThreadedServer(),
    "code": ThreadedServer(answerer=CODE_SPEC, prefix="/answers", body_max_size="2KiB"),
}
"""A book with defaults, and a user function below a prefix with a small body limit."""


@pytest.fixture(scope="module", autouse=True)
def urls() -> Iterator[dict[str, str]]:
    """Run both servers; return their URLs by name."""
    with LogCapture(), ExitStack() as stack:
        yield {name: stack.enter_context(server) for name, server in SERVERS.items()}


GENERATION = hypothesis_settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


Case = schemathesis.Case[Any]
REJECTION_STATUSES = ["400", "404", "405", "406", "413", "415", "417"]
CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REJECTION_STATUSES}}}
)
BOOK, CODE = (schemathesis.openapi.from_dict(server.contract, config=CONFIG) for server in SERVERS.values())


@pytest.mark.parametrize("name", SERVERS)
def test_server_serves_the_tested_document(urls: dict[str, str], name: str) -> None:
    """The servers serve the document that the other tests use."""
    with urlopen(f"{urls[name]}/openapi.json", timeout=5) as response:
        assert json.load(response) == SERVERS[name].contract


@BOOK.parametrize()
@GENERATION
def test_book_conforms(case: Case, urls: dict[str, str]) -> None:
    """Generated requests to a book pass all checks."""
    case.call_and_validate(base_url=urls["book"])


def is_changed_by_a_form(case: Case) -> bool:
    """Return whether the body has fields that a form omits, so that an invalid body becomes valid."""
    fields = case.body.values() if isinstance(case.body, dict) else ()
    return case.media_type == "application/x-www-form-urlencoded" and any(field in ([], {}, None) for field in fields)


@CODE.parametrize()
@GENERATION
def test_function_conforms(case: Case, urls: dict[str, str]) -> None:
    """Generated requests to a user function below a path prefix pass all checks."""
    assume(not is_changed_by_a_form(case))
    is_outside_prefix = "servers" in SERVERS["code"].contract["paths"][case.path]
    case.call_and_validate(base_url=urls["code"].removesuffix("/answers" if is_outside_prefix else ""))
