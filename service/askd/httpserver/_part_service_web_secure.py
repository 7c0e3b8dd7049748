"""Listeners that speak TLS.

Rests on these of aiohttp's (3.14), looked for at the start: `web_runner.BaseSite.start`, `SockSite._server`.
"""

import asyncio
import socket
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.web_runner import BaseSite

from service.tls import Tls
from service.web.footing import look_for
from service.web.runner import Runner

GOODBYE: Final = 5.0
"""Seconds for which a closed connection waits until the client says goodbye too."""


class SecureSite(web.SockSite):
    """One listener. `handshake` is in seconds: a client that is silent there has no request to be closed for."""

    def __init__(self, runner: Runner, sock: socket.socket, *, tls: Tls, backlog: int, handshake: float) -> None:
        """Raise StartupError where aiohttp is not what is rested on."""
        look_for(BaseSite, "start", "_server")
        super().__init__(runner, sock, ssl_context=tls.context)
        self._connections = runner.server
        self._listen = partial(
            asyncio.get_running_loop().create_server,
            sock=sock,
            ssl=tls.context,
            backlog=backlog,
            ssl_handshake_timeout=handshake,
            ssl_shutdown_timeout=GOODBYE,
        )

    async def start(self) -> None:
        """Accept connections. As aiohttp does it, which would let a handshake take a minute."""
        await BaseSite.start(self)
        self._server = await self._listen(self._connections)
