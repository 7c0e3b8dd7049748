"""Serves the configured answerer in this process, for `askd explain` without --url."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import uvloop

from askd.app import LOAD_TASK, create_app, create_server
from askd.config import Settings
from askd.httpserver import sockets
from askd.telemetry import log_config

T = TypeVar("T")

_HOST: Final = "127.0.0.1"


def run_with_server(settings: Settings, work: Callable[[str], T]) -> T:
    """Serve the answerer while `work` runs in a thread, and return its result. `work` takes the URL of the server.

    Limits and cache apply as configured. Tokens and TLS are disabled, because this process is the only client. Only
    warnings and errors are logged.

    Raises:
        StartupError: The server cannot start with these settings.
    """

    async def run() -> T:
        async with serve_in_process(settings) as url:
            return await asyncio.to_thread(work, url)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@contextlib.asynccontextmanager
async def serve_in_process(settings: Settings) -> AsyncIterator[str]:
    """Serve during the block, and yield the URL."""
    local = dataclasses.replace(
        settings, host=_HOST, port=0, ops_port=None, tokens_file=None, tls_cert=None, tls_key=None
    )
    log_config.configure("warning", settings.log_format)
    asyncio.get_running_loop().set_exception_handler(log_config.handle_loop_exception)
    app = create_app(local)
    server = create_server(app, shutdown_timeout=1.0)
    await server.start()
    try:
        await app[LOAD_TASK]
        (listener,) = sockets.listen(_HOST, 0)
        port = listener.getsockname()[1]
        server.listen(listener)
        yield f"http://{_HOST}:{port}{settings.prefix}"
    finally:
        await server.close()
