"""Routes: methods and paths, below a prefix and not."""

import pytest

from tests.web.conftest import Serve

BELOW = ["/ask?q=hello", "/", "/docs", "/openapi.json"]
OPS = ["/metrics", "/livez", "/healthz", "/readyz", "/startupz"]


@pytest.mark.parametrize("path", BELOW + OPS)
async def test_every_route_has_get_head_and_options(serve: Serve, path: str) -> None:
    """GET brings HEAD with the same status and type, and OPTIONS."""
    client = await serve()
    get, head, options = await client.get(path), await client.head(path), await client.options(path)
    assert (get.status, head.status, options.status) == (200, 200, 204)
    assert (head.content_type, await head.read()) == (get.content_type, b"")
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["Allow"].split(", "))


async def test_a_prefix_moves_all_but_the_ops_endpoints(serve: Serve) -> None:
    """Below the prefix is what clients ask for; probes and metrics stay where the platform looks."""
    client = await serve(prefix="/answers")
    for path in BELOW:
        assert ((await client.get("/answers" + path)).status, (await client.get(path)).status) == (200, 404)
    for path in OPS:
        assert ((await client.get(path)).status, (await client.get("/answers" + path)).status) == (200, 404)
    assert (await client.get("/answers")).status == 200


@pytest.mark.parametrize("path", ["/ask/", "/Ask", "/ask/more", "/docs/", "/livez/", "/..%2fask", "/ask//", "/answers"])
async def test_paths_are_exact(serve: Serve, path: str) -> None:
    """What is not a route's path to the letter is 404."""
    assert (await (await serve()).get(path)).status == 404
