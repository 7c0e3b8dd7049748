"""The contract against the server: whatever it allows is answered as it says, whatever it forbids is refused so."""

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
from aiohttp import web
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from service.answerers import spec
from service.app import CONNECTIONS, LOADED, METRICS, create_app, line_limit
from service.settings import Settings
from service.web import openapi, render
from service.web.runner import Runner
from tests.telemetry.captured import Captured


class Served:
    """A server in a thread of its own, with real connections, as clients in another language would meet it."""

    def __init__(self, **given: str) -> None:
        self._settings = Settings.load(given, {})
        self.contract = asyncio.run(self._contract())
        self._up, self._down = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _contract(self) -> Any:
        """Return the document that the server will give, for it is needed before there is one."""
        answerer = spec.resolve(self._settings)
        await answerer.load(lambda _line: None)
        longest = spec.question_max_length(self._settings, answerer)
        document = openapi.document(self._settings, answerer, max_length=longest)
        await answerer.close()
        return json.loads(render.encode(document))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = create_app(self._settings)
        runner = Runner(app, app[METRICS], app[CONNECTIONS], handler_cancellation=True, max_line_size=line_limit(app))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await app[LOADED]
        self.url = "http://{}:{}".format(*runner.addresses[0]) + self._settings.prefix
        self._up.set()
        await self._down.wait()
        await runner.cleanup()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._up.wait(10)
        return self.url

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(10)


CODE_SPEC = f"{Path(__file__).with_name('served.py')}:answer"
SERVED = {"book": Served(), "code": Served(answerer=CODE_SPEC, prefix="/answers", body_max_size="2KiB")}
"""Two servers that differ in what their contracts differ by."""


@pytest.fixture(scope="module", autouse=True)
def urls() -> Iterator[dict[str, str]]:
    """Run both servers."""
    with Captured(), ExitStack() as stack:
        yield {name: stack.enter_context(served) for name, served in SERVED.items()}


BOUNDED = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


Case = schemathesis.Case[Any]
REFUSALS = ["400", "404", "405", "406", "413", "415", "417"]
CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
BOOK, CODE = (schemathesis.openapi.from_dict(served.contract, config=CONFIG) for served in SERVED.values())


@pytest.mark.parametrize("name", SERVED)
def test_the_contract_that_is_tested_is_the_servers_own(urls: dict[str, str], name: str) -> None:
    """What follows is about the document that each server gives away itself."""
    with urlopen(f"{urls[name]}/openapi.json", timeout=5) as response:
        assert json.load(response) == SERVED[name].contract


@BOOK.parametrize()
@BOUNDED
def test_a_book_keeps_its_contract(case: Case, urls: dict[str, str]) -> None:
    """Every operation, asked in every way that the contract allows or forbids, passes all checks."""
    case.call_and_validate(base_url=urls["book"])


@CODE.parametrize()
@BOUNDED
def test_code_keeps_its_contract(case: Case, urls: dict[str, str]) -> None:
    """The same below a prefix, where code may refuse, with ops endpoints outside of the prefix."""
    outside = "servers" in SERVED["code"].contract["paths"][case.path]
    case.call_and_validate(base_url=urls["code"].removesuffix("/answers" if outside else ""))
