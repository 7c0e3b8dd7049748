"""The leanest aiohttp app: constant bytes from one route, without JSON encoding and access log. Argument: PORT."""

import sys

import uvloop
from aiohttp import web

BODY = b'{"answer":"Hi"}'


async def ask(_request: web.Request) -> web.Response:
    """Return the answer of askd's built-in book to `hello`."""
    return web.Response(body=BODY, content_type="application/json")


app = web.Application()
app.router.add_get("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
