"""Routes: methods and paths, with and without a prefix."""

import pytest

from tests.support.app_fixtures import ServeApp

PREFIXED_PATHS = ["/ask?q=hello", "/", "/docs", "/openapi.json"]
OPS_PATHS = ["/metrics", "/livez", "/healthz", "/readyz", "/startupz"]


@pytest.mark.parametrize("path", PREFIXED_PATHS + OPS_PATHS)
async def test_every_route_has_get_head_and_options(serve: ServeApp, path: str) -> None:
    """HEAD has the status and the type of GET, and OPTIONS lists the methods."""
    client = await serve()
    get, head, options = await client.get(path), await client.head(path), await client.options(path)
    assert (get.status, head.status, options.status) == (200, 200, 204)
    assert (head.content_type, await head.read()) == (get.content_type, b"")
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["Allow"].split(", "))


async def test_prefix_does_not_apply_to_ops_paths(serve: ServeApp) -> None:
    """The prefix applies to the paths for clients; health checks and metrics stay where the platform expects them."""
    client = await serve(prefix="/answers")
    for path in PREFIXED_PATHS:
        assert ((await client.get("/answers" + path)).status, (await client.get(path)).status) == (200, 404)
    for path in OPS_PATHS:
        assert ((await client.get(path)).status, (await client.get("/answers" + path)).status) == (200, 404)
    assert (await client.get("/answers")).status == 200


@pytest.mark.parametrize("path", ["/ask/", "/Ask", "/ask/more", "/docs/", "/livez/", "/..%2fask", "/ask//", "/answers"])
async def test_paths_are_exact(serve: ServeApp, path: str) -> None:
    """A path that differs from a route in any character is 404."""
    assert (await (await serve()).get(path)).status == 404
