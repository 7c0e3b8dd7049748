"""The site: what people read and what programs read, at the same addresses."""

import gzip
import re

import pytest

from service import __version__
from tests.fakes import Upper
from tests.web.conftest import Client, Serve

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGES = ["/", "/docs"]
OPS = ["/metrics", "/livez", "/healthz", "/readyz", "/startupz"]


@pytest.mark.parametrize("prefix", ["", "/answers"])
async def test_programs_are_told_what_runs_here(serve: Serve, prefix: str) -> None:
    """`/` has name, version, instance and links, all of which lead somewhere."""
    client = await serve(prefix=prefix)
    about = await (await client.get(prefix + "/")).json()
    assert (about["name"], about["version"], bool(about["instance"])) == ("askd", __version__, True)
    assert set(about["links"]) == {"ask", "docs", "openapi", "metrics", "livez", "readyz", "startupz"}
    for name, link in about["links"].items():
        assert (await client.get(link + ("?q=hello" if name == "ask" else ""))).status == 200


@pytest.mark.parametrize("path", PAGES)
async def test_people_get_pages_programs_json(serve: Serve, path: str) -> None:
    """One address, two representations, by Accept, and caches are told so."""
    client = await serve()
    page, data = await client.get(path, headers=BROWSER), await client.get(path)
    assert (page.headers["Content-Type"], data.content_type) == ("text/html; charset=utf-8", "application/json")
    assert ("Accept" in page.headers["Vary"], "Accept" in data.headers["Vary"]) == (True, True)


async def test_docs_are_the_contract_for_programs(serve: Serve) -> None:
    """`/docs` and `/openapi.json` are the same bytes."""
    client = await serve()
    docs, contract = await client.get("/docs"), await client.get("/openapi.json", headers=BROWSER)
    assert await docs.read() == await contract.read()
    assert (await contract.json())["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_guarded(serve: Serve, path: str) -> None:
    """Pages have a strict policy, are in no frame, and tell no other host where the reader came from."""
    headers = (await (await serve()).get(path, headers=BROWSER)).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("DENY", "no-referrer")


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_validated(serve: Serve, path: str) -> None:
    """A browser that has the page gets 304 without a body."""
    client = await serve()
    first = await client.get(path, headers=BROWSER)
    tag = first.headers["ETag"]
    for sent in (tag, tag.removeprefix("W/"), "*"):
        again = await client.get(path, headers={**BROWSER, "If-None-Match": sent})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get(path, headers={**BROWSER, "If-None-Match": '"x"'})).status == 200


@pytest.mark.parametrize("prefix", ["", "/answers"])
async def test_pages_are_packed_and_their_assets_kept_for_ever(serve: Serve, prefix: str) -> None:
    """Every script, style and link of the pages is found, below the prefix, is immutable, and comes from here."""
    client = await serve(prefix=prefix)
    for path in PAGES:
        page = await (await client.get(prefix + path, headers=BROWSER)).text()
        found = {link for link in re.findall(r'(?:src|href)="([^"#?]*)', page) if not link.startswith("data:")} - {""}
        assert found
        assert not [link for link in found if not link.startswith(f"{prefix}/") and link not in OPS]
        for link in found:
            response = await client.get(link, headers=BROWSER)
            assert response.status in {200, 400}, link
            if "/assets/" in link:
                assert "immutable" in response.headers["Cache-Control"]


async def raw(client: Client, path: str, encoding: str) -> tuple[str | None, bytes]:
    """Ask without unpacking."""
    response = await client.get(path, headers={**BROWSER, "Accept-Encoding": encoding}, auto_decompress=False)
    assert "Accept-Encoding" in response.headers["Vary"]
    return response.headers.get("Content-Encoding"), await response.read()


async def asset(client: Client) -> str:
    """Find the path of one asset."""
    page = await (await client.get("/", headers=BROWSER)).text()
    found: list[str] = re.findall(r'"([^"]*/assets/[^"]*)"', page)
    return found[0]


async def test_gzip_where_it_is_taken(serve: Serve) -> None:
    """Pages and assets come packed to those who take gzip, plain to those who do not, and are the same."""
    client = await serve()
    for path in (*PAGES, await asset(client)):
        (plain_name, plain), (name, packed) = (
            await raw(client, path, "gzip;q=0, br"),
            await raw(client, path, "br, gzip"),
        )
        assert (plain_name, name, gzip.decompress(packed)) == (None, "gzip", plain)
        assert len(packed) < len(plain)


async def test_the_contract_follows_the_load(serve: Serve) -> None:
    """While the answerer loads the contract is the general one; then it is its own."""
    from service.app import HEALTH, LOADED

    fake = Upper(slow_load=True)
    client = await serve(fake, loaded=False)
    early = (await (await client.get("/openapi.json")).json())["x-answerer"]
    fake.load_now.set()
    await client.app[LOADED]
    late = (await (await client.get("/openapi.json")).json())["x-answerer"]
    assert (early["kind"], late["kind"], client.app[HEALTH].answers) == ("", "fake", True)
