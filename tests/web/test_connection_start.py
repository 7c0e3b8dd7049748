"""What is rested on in aiohttp is looked for at the start."""

import aiohttp
import pytest
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from service.app import METRICS, create_app
from service.errors import StartupError
from service.settings import Settings
from service.web import connection
from service.web.connection import Runner
from tests.fakes import Upper


@pytest.mark.parametrize(("place", "name"), [(0, "handle_error"), (1, "__call__"), (2, "_make_server")])
def test_another_aiohttp_is_refused_at_the_start(place: int, name: str) -> None:
    """Where a class of aiohttp lacks what is rested on, the start fails with its name, the version and the mend."""
    classes: list[type] = [RequestHandler, web.Server, web.AppRunner]
    connection.check(*classes)
    classes[place] = type("Missing", (), {})
    with pytest.raises(
        StartupError, match=rf"aiohttp {aiohttp.__version__} has no Missing\.{name}.*requirements\.lock"
    ):
        connection.check(*classes)


async def test_another_server_object_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiohttp's server keeps its options elsewhere, the start fails and says so."""
    app = create_app(Settings(), answerer=Upper())

    class Other:
        """A server of another version."""

    async def make(_self: web.AppRunner) -> Other:
        return Other()

    monkeypatch.setattr(web.AppRunner, "_make_server", make)
    with pytest.raises(StartupError, match=r"has no Other\._kwargs"):
        await Runner(app, app[METRICS])._make_server()


def test_the_parser_in_python_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aiohttp's parser in C the start fails, with the mend."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    app = create_app(Settings(), answerer=Upper())
    with pytest.raises(StartupError, match=r"aiohttp\.http_parser is.*unset AIOHTTP_NO_EXTENSIONS"):
        Runner(app, app[METRICS])
