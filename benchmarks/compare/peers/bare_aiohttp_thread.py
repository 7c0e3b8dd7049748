"""The least that aiohttp can do for synchronous code: one route whose answer comes from a thread. Usage: … PORT."""

import asyncio
import sys

import uvloop
from aiohttp import web


def answer(_text: str) -> str:
    """Give the answer."""
    return "Hi"


async def ask(request: web.Request) -> web.Response:
    """Give the answer that the code gives in its thread."""
    return web.json_response({"answer": await asyncio.to_thread(answer, request.query["q"])})


app = web.Application()
app.router.add_get("/ask", ask)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
