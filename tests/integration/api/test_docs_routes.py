"""Documentation routes: pages for browsers and JSON for other clients at the same paths."""

import gzip
import re

import pytest

from askd import __version__
from tests.support.app_fixtures import Client, ServeApp
from tests.support.fakes import UppercaseAnswerer

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGES = ["/", "/docs"]
OPS = ["/metrics", "/livez", "/healthz", "/readyz", "/startupz"]


@pytest.mark.parametrize("prefix", ["", "/answers"])
async def test_service_info(serve: ServeApp, prefix: str) -> None:
    """`/` returns name, version, instance and working links as JSON."""
    client = await serve(prefix=prefix)
    info = await (await client.get(prefix + "/")).json()
    assert (info["name"], info["version"], bool(info["instance"])) == ("askd", __version__, True)
    assert set(info["links"]) == {"ask", "docs", "openapi", "metrics", "livez", "readyz", "startupz"}
    for name, link in info["links"].items():
        assert (await client.get(link + ("?q=hello" if name == "ask" else ""))).status == 200


@pytest.mark.parametrize("path", PAGES)
async def test_content_negotiation(serve: ServeApp, path: str) -> None:
    """`Accept` selects HTML or JSON, and `Vary` lists it."""
    client = await serve()
    page, data = await client.get(path, headers=BROWSER), await client.get(path)
    assert (page.headers["Content-Type"], data.content_type) == ("text/html; charset=utf-8", "application/json")
    assert ("Accept" in page.headers["Vary"], "Accept" in data.headers["Vary"]) == (True, True)


async def test_docs_as_json_is_the_openapi_document(serve: ServeApp) -> None:
    """`/docs` as JSON and `/openapi.json` have the same bytes."""
    client = await serve()
    docs, openapi_json = await client.get("/docs"), await client.get("/openapi.json", headers=BROWSER)
    assert await docs.read() == await openapi_json.read()
    assert (await openapi_json.json())["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", PAGES)
async def test_pages_have_security_headers(serve: ServeApp, path: str) -> None:
    """Pages have a strict policy, forbid framing and send no referrer."""
    headers = (await (await serve()).get(path, headers=BROWSER)).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("DENY", "no-referrer")


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_revalidated(serve: ServeApp, path: str) -> None:
    """`If-None-Match` with the ETag of a page gets a 304 without a body."""
    client = await serve()
    first = await client.get(path, headers=BROWSER)
    tag = first.headers["ETag"]
    for if_none_match in (tag, tag.removeprefix("W/"), "*"):
        again = await client.get(path, headers={**BROWSER, "If-None-Match": if_none_match})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get(path, headers={**BROWSER, "If-None-Match": '"x"'})).status == 200


@pytest.mark.parametrize("prefix", ["", "/answers"])
async def test_links_work_and_assets_are_immutable(serve: ServeApp, prefix: str) -> None:
    """Every link of the pages works and stays below the prefix; assets are immutable."""
    client = await serve(prefix=prefix)
    for path in PAGES:
        page = await (await client.get(prefix + path, headers=BROWSER)).text()
        links = {link for link in re.findall(r'(?:src|href)="([^"#?]*)', page) if not link.startswith("data:")} - {""}
        assert links
        assert not [link for link in links if not link.startswith(f"{prefix}/") and link not in OPS]
        for link in links:
            response = await client.get(link, headers=BROWSER)
            assert response.status in {200, 400}, link
            if "/assets/" in link:
                assert "immutable" in response.headers["Cache-Control"]


async def get_undecoded(client: Client, path: str, encoding: str) -> tuple[str | None, bytes]:
    """Return `Content-Encoding` and the encoded body."""
    response = await client.get(path, headers={**BROWSER, "Accept-Encoding": encoding}, auto_decompress=False)
    assert "Accept-Encoding" in response.headers["Vary"]
    return response.headers.get("Content-Encoding"), await response.read()


async def find_asset_path(client: Client) -> str:
    """Return the path of one asset."""
    page = await (await client.get("/", headers=BROWSER)).text()
    paths: list[str] = re.findall(r'"([^"]*/assets/[^"]*)"', page)
    return paths[0]


async def test_gzip_is_negotiated(serve: ServeApp) -> None:
    """Clients that accept gzip get the same pages and assets compressed."""
    client = await serve()
    for path in (*PAGES, await find_asset_path(client)):
        plain_encoding, plain = await get_undecoded(client, path, "gzip;q=0, br")
        encoding, compressed = await get_undecoded(client, path, "br, gzip")
        assert (plain_encoding, encoding, gzip.decompress(compressed)) == (None, "gzip", plain)
        assert len(compressed) < len(plain)


async def test_document_changes_after_load(serve: ServeApp) -> None:
    """The document describes the answerer as soon as it has been loaded."""
    from askd.app import HEALTH, LOAD_TASK

    answerer = UppercaseAnswerer(slow_load=True)
    client = await serve(answerer, loaded=False)
    early = (await (await client.get("/openapi.json")).json())["x-answerer"]
    answerer.load_allowed.set()
    await client.app[LOAD_TASK]
    late = (await (await client.get("/openapi.json")).json())["x-answerer"]
    assert (early["kind"], late["kind"], client.app[HEALTH].is_loaded) == ("", "fake", True)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_openapi_document_is_compressed_and_revalidated(serve: ServeApp, path: str) -> None:
    """The OpenAPI document has an ETag, a 304 and a gzip body."""
    client = await serve()
    response = await client.get(path, headers={"Accept": "application/json", "Accept-Encoding": "gzip"})
    assert (response.headers["Content-Encoding"], response.headers["Vary"]) == ("gzip", "Accept, Accept-Encoding")
    assert int(response.headers["Content-Length"]) < len(await response.read()) / 3
    plain = await client.get(path, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert await plain.read() == await response.read()
    again = await client.get(path, headers={"Accept": "application/json", "If-None-Match": plain.headers["ETag"]})
    assert (again.status, again.headers["ETag"]) == (304, plain.headers["ETag"])
