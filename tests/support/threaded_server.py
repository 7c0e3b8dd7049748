"""An answerer served from a thread, for tests of commands that run an event loop."""

import asyncio
import threading

from askd.app import LOAD_TASK, create_app, create_server
from askd.config import Settings
from askd.models import Answerer
from tests.support.app_fixtures import open_loopback_listener


class ThreadedServer:
    """Context manager that serves an answerer and returns the URL."""

    def __init__(self, answerer: Answerer) -> None:
        self._app = create_app(Settings(), answerer=answerer)
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._url = ""
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(10)
        return self._url

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        server = create_server(self._app, shutdown_timeout=0.1)
        server.half_close_window = 0.0  # a client that disconnects at once has left
        await server.start()
        await self._app[LOAD_TASK]
        listener = open_loopback_listener()
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.listen(listener)
        self._ready.set()
        await self._stop.wait()
        await server.close()
