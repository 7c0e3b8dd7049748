"""What is rested on in aiohttp is looked for at the start."""

import aiohttp
import pytest
from aiohttp import http_parser, web

from service.app import CONNECTIONS, METRICS, create_app
from service.errors import StartupError
from service.settings import Settings
from service.web import footing
from service.web.runner import Runner
from tests.fakes import Upper

NAMES = [(owner, name) for owner, names in footing.RESTS_ON.items() for name in names]


def runner() -> Runner:
    """Make a runner for an app."""
    app = create_app(Settings(), answerer=Upper())
    return Runner(app, app[METRICS], app[CONNECTIONS])


def test_this_aiohttp_will_do() -> None:
    """The installed version has all that is rested on."""
    footing.check()
    assert len(NAMES) > 20


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=[f"{owner.__name__}.{name}" for owner, name in NAMES])
def test_another_aiohttp_is_refused_at_the_start(owner: type, name: str) -> None:
    """Where a class of aiohttp lacks what is rested on, the start fails with its name, the version and the mend."""
    without = type(owner.__name__, (), {other: None for other in footing.RESTS_ON[owner] if other != name})
    if name in dir(object):
        pytest.skip(f"every class has {name}")
    with pytest.raises(
        StartupError, match=rf"aiohttp {aiohttp.__version__} has no {owner.__name__}\.{name}.*requirements\.lock"
    ):
        footing.check({without: footing.RESTS_ON[owner]})


async def test_another_server_object_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiohttp's server keeps its options elsewhere, the start fails and says so."""

    class Other:
        """A server of another version."""

    async def make(_self: web.AppRunner) -> Other:
        return Other()

    monkeypatch.setattr(web.AppRunner, "_make_server", make)
    with pytest.raises(StartupError, match=r"has no Other\._kwargs"):
        await runner()._make_server()


def test_the_parser_in_python_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without aiohttp's parser in C the start fails, with the mend."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(StartupError, match=r"aiohttp\.http_parser is.*unset AIOHTTP_NO_EXTENSIONS"):
        runner()
