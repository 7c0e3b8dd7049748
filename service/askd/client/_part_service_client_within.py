"""The configured answerer, served within this process on a port of its own, for as long as it is asked."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from aiohttp import web

from service.app import LOADED, create_app, create_runner
from service.settings import Settings
from service.telemetry import logs

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[str]:
    """Give the URL, once the answerer is loaded. Raises StartupError as a start would.

    All guards stand but who may ask: it is this process that asks, in clear, over the loopback. Warnings are logged.
    """
    own = dataclasses.replace(settings, host=HOST, port=0, ops_port=None, tokens_file=None, tls_cert=None, tls_key=None)
    logs.configure("warning", settings.log_format)
    asyncio.get_running_loop().set_exception_handler(logs.loop_failed)
    app = create_app(own)
    runner = create_runner(app, own, patience=1.0)
    await runner.setup()
    try:
        await app[LOADED]
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://{HOST}:{port}{settings.prefix}"
    finally:
        await runner.cleanup()
