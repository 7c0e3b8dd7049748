"""A server in a thread whose OpenAPI document is known before it starts, for clients that block."""

import asyncio
import json
import threading
from typing import Any

from askd.answerers import registry
from askd.api import openapi, rendering
from askd.app import LOAD_TASK, create_app, create_server
from askd.config import Settings
from tests.support.app_fixtures import open_loopback_listener


class DocumentedServer:
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
