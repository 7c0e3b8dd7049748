"""Minimal aiohttp app for synchronous code: one route that calls a function in a thread. Argument: PORT."""

import asyncio
import sys

import uvloop
from aiohttp import web


def answer(_text: str) -> str:
    """Return the answer."""
    return "Hi"


async def ask(request: web.Request) -> web.Response:
    """Return the answer of the function."""
    return web.json_response({"answer": await asyncio.to_thread(answer, request.query["q"])})


app = web.Application()
app.router.add_get("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
