"""Tests of the upstream client: forwarded headers, hops and reuse of connections."""

import asyncio

import pytest
from multidict import CIMultiDict

from askd.answerers.remote import http_client
from askd.errors import LoopDetected, Unavailable
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import FakeLangGraph, langgraph_answerer, make_question

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


async def test_send_after_close() -> None:
    """After `close`, questions raise Unavailable; `close` may be called twice."""
    answerer = langgraph_answerer("http://127.0.0.1:1")
    await answerer.close()
    answerer.is_discovered = True
    with pytest.raises(Unavailable):
        await answerer.answer(make_question())
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
