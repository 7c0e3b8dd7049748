"""Compatibility of aiohttp is checked at startup."""

import aiohttp
import pytest
from aiohttp import http_parser, web

from askd.app import CONNECTIONS, connection_callbacks, create_app
from askd.config import Settings
from askd.errors import StartupError
from askd.httpserver import server
from askd.httpserver.server import HttpServerRunner
from tests.support.fakes import UppercaseAnswerer

ATTRIBUTES = [(owner, name) for owner, names in server.REQUIRED_ATTRIBUTES.items() for name in names]


def create_runner() -> HttpServerRunner:
    """Create a runner for an app."""
    app = create_app(Settings(), answerer=UppercaseAnswerer())
    return HttpServerRunner(app, app[CONNECTIONS], **connection_callbacks(app))


def test_installed_version_is_compatible() -> None:
    """The installed version of aiohttp has all required attributes."""
    server.check_aiohttp()
    assert len(ATTRIBUTES) > 20


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES, ids=[f"{owner.__name__}.{name}" for owner, name in ATTRIBUTES])
def test_missing_attribute_is_rejected_at_startup(owner: type, name: str) -> None:
    """The error names the missing attribute, the version and a fix."""
    incomplete = type(owner.__name__, (), {other: None for other in server.REQUIRED_ATTRIBUTES[owner] if other != name})
    if name in dir(object):
        pytest.skip(f"every class has {name}")
    message = (
        rf"aiohttp {aiohttp.__version__} is not supported: {owner.__name__}\.{name} is missing.*requirements\.lock"
    )
    with pytest.raises(StartupError, match=message):
        server.check_aiohttp({incomplete: server.REQUIRED_ATTRIBUTES[owner]})


async def test_incompatible_server_object_is_rejected_at_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    """If aiohttp's server keeps its options elsewhere, the start fails."""

    class OtherServer:
        """A server of another version."""

    async def make_server(_self: web.AppRunner) -> OtherServer:
        return OtherServer()

    monkeypatch.setattr(web.AppRunner, "_make_server", make_server)
    with pytest.raises(StartupError, match=r"OtherServer\._kwargs is missing"):
        await create_runner()._make_server()


def test_python_parser_is_rejected_at_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aiohttp's C parser the start fails, and the error suggests a fix."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(StartupError, match=r"but aiohttp\.http_parser: .*unset AIOHTTP_NO_EXTENSIONS"):
        create_runner()
