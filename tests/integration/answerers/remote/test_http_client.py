"""Tests of the upstream client: forwarded headers, the API key, hops and connection errors."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict

from askd.answerers.remote import http_client
from askd.errors import LoadError, LoopDetected, Problem, Refused, Unauthorized, Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import LoadAnswerer, StartServer
from tests.support.fake_langgraph_server import FakeLangGraph, ignore_progress, langgraph_answerer, make_question

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_forwarded_headers(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The request ID, trace and hops are forwarded; credentials and cookies of the client are not."""
    headers = CIMultiDict(
        {
            "Authorization": "Bearer secret",
            "Cookie": "a=secret",
            "X-Api-Key": "secret",
            "TraceParent": TRACEPARENT,
            "Tracestate": "a=1",
            "Host": "secret",
        }
    )
    await (await load()).answer(make_question(id="abc", headers=headers))
    sent = fake.request_headers[0]
    assert {name: sent[name] for name in ("X-Request-Id", "traceparent", "tracestate", "X-Askd-Hops")} == {
        "X-Request-Id": "abc",
        "traceparent": TRACEPARENT,
        "tracestate": "a=1",
        "X-Askd-Hops": "1",
    }
    assert "secret" not in str(sent)
    assert sent["User-Agent"].startswith("askd/")


async def test_cookies_are_not_stored(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A cookie that the server sets is not sent with the next question."""
    answerer = await load()
    fake.headers |= {"Set-Cookie": "session=1"}
    await answerer.answer(make_question())
    await answerer.answer(make_question())
    assert "Cookie" not in fake.request_headers[1]


async def test_api_key_reload(fake: FakeLangGraph, load: LoadAnswerer, tmp_path: Path) -> None:
    """The API key is sent, and reloaded when the file changes; if the new file is invalid, the old key is used."""
    path = tmp_path / "key"
    path.write_text(" one \n")
    answerer = await load(key=path)

    async def sent_key() -> str:
        await answerer.answer(make_question())
        return fake.request_headers[-1]["x-api-key"]

    watcher = answerer.upstream._api_key_file.file_watcher
    assert await sent_key() == "one"
    for content, key in (("two", "two"), ("", "two"), (None, "two"), ("three", "three")):
        if content is None:
            path.unlink()
        else:
            _replace_file(path, content)
        watcher.check()
        watcher.check()  # the second time, because a change is reported when it has settled
        assert await sent_key() == key


@pytest.mark.parametrize(("content", "header"), [("secret", "Bearer secret"), ("Basic c2VjcmV0\n", "Basic c2VjcmV0")])
async def test_authorization_from_a_file(
    fake: FakeLangGraph, load: LoadAnswerer, tmp_path: Path, content: str, header: str
) -> None:
    """The file has a token, or a scheme and a token, which are sent with each request; the client's is not."""
    path = tmp_path / "token"
    path.write_text(content)
    answerer = await load(authorization=str(path))
    await answerer.answer(make_question(headers=CIMultiDict({"Authorization": "Bearer other"})))
    assert fake.request_headers[-1]["Authorization"] == header


async def test_invalid_authorization_file(base: str, tmp_path: Path) -> None:
    """A file without a usable value fails the load, with the option's name and without the value."""
    path = tmp_path / "token"
    path.write_text("Bearer secret one")
    answerer = langgraph_answerer(base, authorization=str(path))
    with pytest.raises(LoadError, match=f"--upstream-authorization={path}: the key contains whitespace") as caught:
        await answerer.load(ignore_progress)
    assert "secret" not in str(caught.value)
    await answerer.close()


async def test_authorization_of_the_client(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """With `forward` the client's own header is sent; a server that rejects it is a 401 or 403 for the client."""
    answerer = await load(authorization="forward")
    headers = CIMultiDict({"Authorization": "Bearer mine"})
    await answerer.answer(make_question(headers=headers))
    assert fake.request_headers[-1]["Authorization"] == "Bearer mine"
    await answerer.answer(make_question())
    assert "Authorization" not in fake.request_headers[-1]
    fake.status, fake.headers = 401, {"WWW-Authenticate": "Bearer realm=x"}
    with pytest.raises(Unauthorized) as unauthorized:
        await answerer.answer(make_question(headers=headers))
    assert unauthorized.value.headers == {"WWW-Authenticate": "Bearer realm=x"}
    fake.status = 403
    with pytest.raises(Refused) as refused:
        await answerer.answer(make_question(headers=headers))
    assert refused.value.status == 403


async def test_discovery_without_an_own_authorization(fake: FakeLangGraph, base: str) -> None:
    """A server that denies the list to askd itself is used if the assistant is named; otherwise the hint says so."""
    fake.search_status = 401
    named = langgraph_answerer(base, assistant="agent", authorization="forward")
    await named.load(ignore_progress)
    await named.answer(make_question(headers=CIMultiDict({"Authorization": "Bearer mine"})))
    assert fake.bodies[-1]["assistant_id"] == "agent"
    unnamed = langgraph_answerer(base, authorization="forward")
    with pytest.raises(LoadError, match=f"denied access: name the assistant, such as {base}#agent"):
        await unnamed.load(ignore_progress)
    for answerer in (named, unnamed):
        await answerer.close()


def _replace_file(path: Path, text: str) -> None:
    """Replace the file atomically, as Kubernetes does."""
    new_path = path.with_name("new")
    new_path.write_text(text)
    new_path.replace(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"secret one", "the key contains whitespace"),
        (b"secret\nother", "the key contains whitespace"),
        ("secrät".encode(), "the key contains whitespace"),
        (b"s" * 9000, "longer than 8192 bytes"),
    ],
    ids=range(7),
)
async def test_invalid_api_key(base: str, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """An invalid API key fails the load; the error message has the setting but never the key."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    answerer = langgraph_answerer(base, key=path)
    with pytest.raises(LoadError, match=reason) as caught:
        await answerer.load(ignore_progress)
    assert str(caught.value).startswith(f"--upstream-api-key-file={path}: ")
    assert "secr" not in str(caught.value)
    await answerer.close()


@pytest.mark.parametrize(("headers", "sent"), [({}, "1"), ({"X-Askd-Hops": "0"}, "1"), ({"X-Askd-Hops": " 4 "}, "5")])
def test_hops(headers: dict[str, str], sent: str) -> None:
    """Each server that forwards a question increments the hops."""
    assert http_client.increment_hops(headers) == sent


@pytest.mark.parametrize("hops", ["5", "6", "99999999", "", "-1", "x", "1, 1", "²", "٣"])
def test_too_many_hops(hops: str) -> None:
    """A question with too many or invalid hops raises LoopDetected."""
    with pytest.raises(LoopDetected, match="in a loop"):
        http_client.increment_hops({"X-Askd-Hops": hops})


async def test_loop_is_detected_before_sending(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A question with too many hops is not sent."""
    answerer = await load()
    with pytest.raises(LoopDetected):
        await answerer.answer(make_question(headers={"X-Askd-Hops": "5"}))
    assert fake.bodies == []


async def test_tls_failure(base: str) -> None:
    """A server without TLS at an https URL is a failure whose detail does not contain the address."""
    answerer = langgraph_answerer(base.replace("http:", "https:"))
    await answerer.load(ignore_progress)
    with pytest.raises(Problem) as caught:
        await answerer.answer(make_question())
    assert type(caught.value) in {UpstreamFailed, Unavailable}
    assert "127.0.0.1" not in caught.value.detail
    await answerer.close()


async def test_unknown_host() -> None:
    """A host name that cannot be resolved raises Unavailable."""
    answerer = langgraph_answerer("http://askd.invalid:1")
    await answerer.load(ignore_progress)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await answerer.answer(make_question())
    await answerer.close()


async def test_send_after_close() -> None:
    """After `close`, questions raise Unavailable; `close` may be called twice."""
    answerer = langgraph_answerer("http://127.0.0.1:1")
    await answerer.close()
    answerer.is_discovered = True
    with pytest.raises(Unavailable):
        await answerer.answer(make_question())
    await answerer.close()


async def test_question_is_not_repeated_after_a_disconnect(fake: FakeLangGraph, start: StartServer) -> None:
    """A question is sent once, even if the server closes the connection after it received the request."""
    request_count = 0

    async def abort(request: web.Request) -> web.Response:
        nonlocal request_count
        request_count += 1
        assert request.transport
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/runs/wait", abort)
    app.router.add_post("/assistants/search", fake._search)
    answerer = langgraph_answerer(await start(app))
    await answerer.load(ignore_progress)
    with pytest.raises(UpstreamFailed, match="closed the connection"):
        await answerer.answer(make_question())
    assert request_count == 1
    await answerer.close()


async def test_connections_are_reused(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Successive questions use one connection; concurrent questions are not limited."""
    answerer = await load()
    for _ in range(3):
        await answerer.answer(make_question())
    assert answerer.upstream._session
    assert len(answerer.upstream._session.connector._conns) == 1  # type: ignore[union-attr] # a session has one
    await asyncio.gather(*(answerer.answer(make_question()) for _ in range(20)))
    assert len(fake.bodies) == 23
