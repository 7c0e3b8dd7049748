"""Tests of discovery: the choice of the assistant, and servers that are not ready or wrong."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from askd.errors import LoadError, Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import LoadAnswerer, StartServer
from tests.support.fake_langgraph_server import (
    ASSISTANT,
    FakeLangGraph,
    ignore_progress,
    langgraph_answerer,
    make_question,
)

OTHER = {**ASSISTANT, "assistant_id": "2", "graph_id": "other", "name": "other"}
CUSTOM = {**ASSISTANT, "assistant_id": "3", "name": "Mine", "metadata": {}, "description": None}


@pytest.mark.parametrize(
    ("assistants", "name", "expected"),
    [
        ([ASSISTANT], "", (ASSISTANT["assistant_id"], "agent")),
        ([ASSISTANT, OTHER], "other", ("other", "other")),
        ([ASSISTANT, CUSTOM], "3", ("3", "Mine")),
        ([], "hidden", ("hidden", "hidden")),
        ([OTHER] * 100, "agent", ("agent", "agent")),
    ],
)
async def test_assistants(fake: FakeLangGraph, load: LoadAnswerer, assistants: Any, name: str, expected: Any) -> None:
    """The assistant is the only one, or the one with the given graph name or UUID."""
    fake.assistants = assistants
    answerer = await load(assistant=name)
    await answerer.answer(make_question())
    assert (fake.bodies[0]["assistant_id"], answerer.name) == expected
    assert await answerer.ready() == (True, "")
    assert answerer.warnings() == ()


ERRORS: list[tuple[Any, str, int, str]] = [
    ([ASSISTANT, OTHER], "", 200, "has several assistants (agent, other): choose one, such as {base}#agent"),
    ([CUSTOM, CUSTOM], "", 200, "has several assistants (3): choose one, such as {base}#3"),
    ([ASSISTANT, OTHER], "x", 200, "has no assistant 'x' (it has agent, other): choose one, such as {base}#agent"),
    ([], "", 200, "lists no assistants"),
    ({"a": 1}, "", 200, "is not a LangGraph server"),
    ([1], "", 200, "is not a LangGraph server"),
    ([], "", 404, "is not a LangGraph server"),
    ([], "", 401, "give a valid API key in a file with --upstream-api-key-file"),
]


@pytest.mark.parametrize("case", ERRORS)
async def test_load_errors(fake: FakeLangGraph, base: str, load: LoadAnswerer, case: tuple[Any, str, int, str]) -> None:
    """A wrong server or assistant fails the load, with a list of the assistants or a hint."""
    fake.assistants, name, fake.search_status, message = case
    with pytest.raises(LoadError) as caught:
        await load(assistant=name)
    assert message.format(base=base) in str(caught.value)


async def test_another_askd(fake: FakeLangGraph, base: str, load: LoadAnswerer) -> None:
    """If the server is an askd, the error message has the URL to use for it."""
    fake.search_status, fake.search_headers = 404, {"Server": "askd"}
    with pytest.raises(LoadError, match=rf"give ask\+{base}"):
        await load()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_not_ready_at_the_start(fake: FakeLangGraph, load: LoadAnswerer, status: int) -> None:
    """If the server is not ready at the start, questions and readiness checks repeat the discovery."""
    fake.search_status = status
    answerer = await load()
    ready, detail = await answerer.ready()
    assert not ready
    assert detail.startswith("The upstream server")
    assert len(answerer.warnings()) == 1
    with pytest.raises(Unavailable):
        await answerer.answer(make_question())
    fake.search_status = 200
    assert (await answerer.answer(make_question())).text == "Hi"
    assert await answerer.ready() == (True, "")
    assert answerer.contract.summary == "Says hello."


async def test_unreachable_at_the_start(fake: FakeLangGraph, unreachable_url: str, start: StartServer) -> None:
    """An unreachable server raises Unavailable until a readiness check has discovered it."""
    answerer = langgraph_answerer(unreachable_url)
    await answerer.load(ignore_progress)
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await answerer.answer(make_question())
    assert caught.value.retry_after == 1
    assert (await answerer.ready())[0] is False
    answerer.upstream.base_url = await start(fake.app())
    assert answerer._discovery_task
    await answerer._discovery_task
    assert (await answerer.ready())[0] is False
    await answerer._discovery_task
    assert await answerer.ready() == (True, "")
    await answerer.close()


async def test_misconfigured_after_the_start(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """If a later discovery finds a configuration error, questions fail and only the log has the cause."""
    fake.search_status = 503
    answerer = await load()
    fake.search_status, fake.assistants = 200, [ASSISTANT, OTHER]
    with pytest.raises(UpstreamFailed) as caught:
        await answerer.answer(make_question())
    assert "other" not in caught.value.detail
    ready, detail = await answerer.ready()
    assert (ready, "other" in detail) == (False, False)


async def test_concurrent_questions_share_a_discovery(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Concurrent questions share one discovery; cancelling one of them does not cancel it."""
    fake.search_status = 503
    answerer = await load()
    fake.search_status, fake.search_count = 200, 0
    tasks = [asyncio.create_task(answerer.answer(make_question())) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [getattr(result, "text", result) for result in results[1:]] == ["Hi"] * 4
    assert fake.search_count == 1


@pytest.mark.parametrize(("assistant", "discoveries"), [("", 2), ("agent", 1)])
async def test_deleted_assistant(fake: FakeLangGraph, load: LoadAnswerer, assistant: str, discoveries: int) -> None:
    """If the assistant is rejected, the discovery is repeated unless the spec names the assistant."""
    answerer = await load(assistant=assistant)
    fake.status = 422
    with pytest.raises(UpstreamFailed):
        await answerer.answer(make_question())
    fake.status = 200
    await answerer.answer(make_question())
    assert fake.search_count == discoveries


async def test_close_cancels_discovery(start: StartServer) -> None:
    """`close` cancels a discovery in progress."""
    request_received = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        request_received.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/assistants/search", hang)
    answerer = langgraph_answerer(await start(app))
    loading = asyncio.create_task(answerer.load(ignore_progress))
    await asyncio.wait_for(request_received.wait(), 30)
    loading.cancel()
    await asyncio.wait({loading})
    await answerer.close()
    assert answerer._discovery_task
    assert answerer._discovery_task.cancelled()
