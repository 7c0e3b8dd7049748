"""HTTP exceptions of web frameworks in the user's code."""

import sys
import types

import pytest

from askd.errors import AnswererFailed, BadQuestion, Refused
from tests.support.user_function_fixtures import AskFunction, LoadFunction

FRAMEWORKS = {
    "aiohttp": ("from aiohttp.web import HTTPNotFound\ndef answer(text): raise HTTPNotFound(text='gone')", 404, "gone"),
    "werkzeug": ("from werkzeug.exceptions import Gone\ndef answer(text): raise Gone('gone')", 410, "gone"),
    "starlette": ("from starlette import Teapot\ndef answer(text): raise Teapot(418, 'tea')", 418, "tea"),
    "fastapi": ("from fastapi import HTTPException as H\ndef answer(text): raise H(409, 'full')", 409, "full"),
    "starlette, async": ("from starlette import Teapot\nasync def answer(text): raise Teapot(418, 'tea')", 418, "tea"),
    "starlette, streamed": (
        "from starlette import Teapot\nasync def answer(text):\n    yield 'a'\n    raise Teapot(418, 'tea')",
        418,
        "tea",
    ),
    "unavailable": ("from starlette import Teapot\ndef answer(text): raise Teapot(503, 'busy')", 503, "busy"),
    "no detail": ("from starlette import Teapot\ndef answer(text): raise Teapot(409, None)", 409, "Conflict"),
    "no phrase": ("from starlette import Teapot\ndef answer(text): raise Teapot(499, '')", 499, "Refused."),
    "object": ("from starlette import Teapot\ndef answer(text): raise Teapot(422, {'a': 1})", 422, '{"a":1}'),
}


@pytest.fixture
def starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install fakes of Starlette's HTTPException and of FastAPI's, which derives from it."""
    source = """
class HTTPException(Exception):
    def __init__(self, status_code, detail, headers=None):
        self.status_code, self.detail, self.headers = status_code, detail, headers
class Teapot(HTTPException): ...
"""
    derived = "from starlette import HTTPException as Base\nclass HTTPException(Base): ...\n"
    for name, code in [("starlette", source), ("fastapi", derived)]:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        exec(code, vars(sys.modules[name]))


@pytest.mark.usefixtures("starlette")
@pytest.mark.parametrize(("code", "status", "detail"), FRAMEWORKS.values(), ids=FRAMEWORKS.keys())
async def test_client_errors_keep_their_status(
    load: LoadFunction, ask: AskFunction, code: str, status: int, detail: str
) -> None:
    """A 4xx or 503 of a framework's exception reaches the client with its detail."""
    with pytest.raises(Refused) as caught:
        await ask(await load(code))
    assert (caught.value.status, caught.value.detail) == (status, detail)
    assert caught.value.__cause__ is not None


@pytest.mark.usefixtures("starlette")
async def test_forwarded_headers(load: LoadFunction, ask: AskFunction) -> None:
    """The exception's headers reach the client, except invalid ones and those that the server sets."""
    code = """
        from starlette import Teapot
        GOOD = {"Retry-After": 5, "X-Quota": "x"}
        BAD = {"Content-Type": "text/x", "Connection": "close", "X-Bad": "a\\r\\nb: c"}
        def answer(text): raise Teapot(429, "slower", GOOD | BAD)
    """
    with pytest.raises(Refused) as caught:
        await ask(await load(code))
    assert caught.value.headers == {"Retry-After": "5", "X-Quota": "x"}


async def test_headers_of_werkzeug(load: LoadFunction, ask: AskFunction) -> None:
    """The headers of Werkzeug's exceptions come from a method."""
    code = "from werkzeug.exceptions import TooManyRequests as Slow\ndef answer(text): raise Slow(retry_after=5)"
    with pytest.raises(Refused) as caught:
        await ask(await load(code))
    assert caught.value.headers == {"Retry-After": "5"}


@pytest.mark.usefixtures("starlette")
@pytest.mark.parametrize(
    "body",
    [
        "from aiohttp.web import HTTPFound\ndef answer(text): raise HTTPFound('/x')",
        "from starlette import Teapot\ndef answer(text): raise Teapot(502, 'secret')",
    ],
)
async def test_other_statuses_are_failures(load: LoadFunction, ask: AskFunction, body: str) -> None:
    """A redirect or another 5xx is an AnswererFailed without the detail."""
    with pytest.raises(AnswererFailed) as caught:
        await ask(await load(body))
    assert "secret" not in caught.value.detail
    assert caught.value.__cause__ is not None


async def test_http_client_errors_are_not_translated(load: LoadFunction, ask: AskFunction) -> None:
    """The status of an upstream server does not become the client's."""
    code = """
        import http.client, urllib.error
        class Upstream(http.client.HTTPException):
            status = 404
        def answer(text): raise Upstream("secret")
    """
    with pytest.raises(Exception, match="secret") as caught:
        await ask(await load(code))
    assert type(caught.value).__name__ == "Upstream"


async def test_askd_problems_pass_unchanged(load: LoadFunction, ask: AskFunction) -> None:
    """Code may raise askd's own problems."""
    code = """
        from askd.errors import BadQuestion
        def answer(text): raise BadQuestion("q", "too vague")
    """
    with pytest.raises(BadQuestion, match="too vague"):
        await ask(await load(code))
