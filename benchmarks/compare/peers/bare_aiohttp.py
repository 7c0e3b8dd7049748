"""The least that aiohttp can do: one route on uvloop, without a log. Usage: bare.py PORT."""

import sys

import uvloop
from aiohttp import web


async def ask(_request: web.Request) -> web.Response:
    """Give the answer that askd's built-in book gives to `hello`."""
    return web.json_response({"answer": "Hi"})


app = web.Application()
app.router.add_get("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
