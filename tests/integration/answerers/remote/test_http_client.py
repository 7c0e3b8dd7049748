"""What goes to the server beside the question, and what does not; connections that fail."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict

from service.answerers.remote import hops
from service.errors import LoadError, Looped, Problem, Unavailable, UpstreamFailed

from .conftest import Load, Start
from .fakes import FakeLangGraph, asked, langgraph, quiet

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_ids_chain(fake: FakeLangGraph, load: Load) -> None:
    """The id, the trace and the hops are passed on; the caller's Authorization, cookies and key are not."""
    given = CIMultiDict(
        {
            "Authorization": "Bearer secret",
            "Cookie": "a=secret",
            "X-Api-Key": "secret",
            "TraceParent": TRACE,
            "Tracestate": "a=1",
            "Host": "secret",
        }
    )
    await (await load()).answer(asked(id="abc", headers=given))
    sent = fake.requests[0]
    assert {name: sent[name] for name in ("X-Request-Id", "traceparent", "tracestate", "X-Askd-Hops")} == {
        "X-Request-Id": "abc",
        "traceparent": TRACE,
        "tracestate": "a=1",
        "X-Askd-Hops": "1",
    }
    assert "secret" not in str(sent)
    assert sent["User-Agent"].startswith("askd/")


async def test_cookies_are_forgotten(fake: FakeLangGraph, load: Load) -> None:
    """A cookie that the server sets with one question does not come with the next."""
    answerer = await load()
    fake.headers |= {"Set-Cookie": "session=1"}
    await answerer.answer(asked())
    await answerer.answer(asked())
    assert "Cookie" not in fake.requests[1]


async def test_key(fake: FakeLangGraph, load: Load, tmp_path: Path) -> None:
    """The key is sent, and read again when the file changes; a changed file that is faulty leaves the old one."""
    path = tmp_path / "key"
    path.write_text(" one \n")
    answerer = await load(key=path)

    async def sent() -> str:
        await answerer.answer(asked())
        return fake.requests[-1]["x-api-key"]

    assert await sent() == "one"
    _swap(path, "two")
    assert await sent() == "two"
    _swap(path, "")
    assert await sent() == "two"
    path.unlink()
    assert await sent() == "two"
    _swap(path, "three")
    assert await sent() == "three"


def _swap(path: Path, text: str) -> None:
    """Put another file in place, as Kubernetes does."""
    other = path.with_name("other")
    other.write_text(text)
    other.replace(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"secret one", "it has spaces"),
        (b"secret\nother", "it has spaces"),
        ("secrät".encode(), "it has spaces"),
        (b"s" * 9000, "longer than 8192 bytes"),
    ],
    ids=range(7),
)
async def test_faulty_key(base: str, tmp_path: Path, content: bytes | None, fault: str) -> None:
    """A key that cannot be read ends the start; the message names the setting and never shows the key."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    answerer = langgraph(base, key=path)
    with pytest.raises(LoadError, match=fault) as caught:
        await answerer.load(quiet)
    assert str(caught.value).startswith(f"--upstream-key-file={path}: ")
    assert "secr" not in str(caught.value)
    await answerer.close()


@pytest.mark.parametrize(("given", "sent"), [({}, "1"), ({"X-Askd-Hops": "0"}, "1"), ({"X-Askd-Hops": " 4 "}, "5")])
def test_hops(given: dict[str, str], sent: str) -> None:
    """Each server that passes a question on counts one more."""
    assert hops.next_hop(given) == sent


@pytest.mark.parametrize("given", ["5", "6", "99999999", "", "-1", "x", "1, 1", "²", "٣"])
def test_too_many_hops(given: str) -> None:
    """A question that was passed on too often, or nobody knows how often, is passed on no more."""
    with pytest.raises(Looped, match="in a circle"):
        hops.next_hop({"X-Askd-Hops": given})


async def test_looped_question_is_not_sent(fake: FakeLangGraph, load: Load) -> None:
    """The hops are looked at before anything is sent."""
    answerer = await load()
    with pytest.raises(Looped):
        await answerer.answer(asked(headers={"X-Askd-Hops": "5"}))
    assert fake.bodies == []


async def test_no_tls(base: str) -> None:
    """A server that speaks no TLS where the spec says https is 502, and tried again."""
    answerer = langgraph(base.replace("http:", "https:"))
    await answerer.load(quiet)
    with pytest.raises(Problem) as caught:
        await answerer.answer(asked())
    assert type(caught.value) in {UpstreamFailed, Unavailable}
    assert "127.0.0.1" not in caught.value.detail
    await answerer.close()


async def test_no_such_host() -> None:
    """A name that leads nowhere is a server that cannot be reached."""
    answerer = langgraph("http://askd.invalid:1")
    await answerer.load(quiet)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await answerer.answer(asked())
    await answerer.close()


async def test_closed() -> None:
    """After close nothing is sent, and closing twice does no harm."""
    answerer = langgraph("http://127.0.0.1:1")
    await answerer.close()
    answerer.found = True
    with pytest.raises(Unavailable):
        await answerer.answer(asked())
    await answerer.close()


async def test_dropped_idle_connection_is_not_asked_twice(fake: FakeLangGraph, start: Start) -> None:
    """A server that takes a question and hangs up has perhaps answered it: it is sent once."""
    taken = 0

    async def hang_up(request: web.Request) -> web.Response:
        nonlocal taken
        taken += 1
        assert request.transport
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/runs/wait", hang_up)
    app.router.add_post("/assistants/search", fake._search)
    answerer = langgraph(await start(app))
    await answerer.load(quiet)
    with pytest.raises(UpstreamFailed, match="broke off"):
        await answerer.answer(asked())
    assert taken == 1
    await answerer.close()


async def test_connections_are_shared(fake: FakeLangGraph, load: Load) -> None:
    """Questions one after another go over one connection."""
    answerer = await load()
    for _ in range(3):
        await answerer.answer(asked())
    assert answerer.upstream._session
    assert len(answerer.upstream._session.connector._conns) == 1  # type: ignore[union-attr] # a session has one
    await asyncio.gather(*(answerer.answer(asked()) for _ in range(20)))
    assert len(fake.bodies) == 23
