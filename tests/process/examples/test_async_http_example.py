"""docs/examples/async_http, run as its first lines describe, with an HTTP API of the test."""

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.process.examples.conftest import ServeExample, ask_query


async def test_summary_of_an_article(serve: ServeExample) -> None:
    """The summary that the API sends is the answer; a page that the API does not have is a 404."""

    async def summary(request: web.Request) -> web.Response:
        title = request.match_info["title"]
        if title != "Load balancing (computing)":
            raise web.HTTPNotFound
        return web.json_response({"title": title, "extract": "It distributes requests."})

    app = web.Application()
    app.router.add_get("/summary/{title}", summary)
    async with TestServer(app) as api:
        process = await serve("async_http", SUMMARY_API=str(api.make_url("/summary")))
        status, body = await ask_query(process, "q=Load+balancing+(computing)")
        assert (status, body) == (200, {"answer": "It distributes requests.", "title": "Load balancing (computing)"})
        assert (await ask_query(process, "q=Nosuchpage"))[0] == 404
        assert await process.stop() == 0
