"""Which assistant answers, and a server that is not there, or not yet."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from service.errors import LoadError, Unavailable, UpstreamFailed

from .conftest import Load, Start
from .fakes import AGENT, FakeLangGraph, asked, langgraph, quiet

OTHER = {**AGENT, "assistant_id": "2", "graph_id": "other", "name": "other"}
MADE = {**AGENT, "assistant_id": "3", "name": "Mine", "metadata": {}, "description": None}


@pytest.mark.parametrize(
    ("found", "wanted", "taken"),
    [
        ([AGENT], "", (AGENT["assistant_id"], "agent")),
        ([AGENT, OTHER], "other", ("other", "other")),
        ([AGENT, MADE], "3", ("3", "Mine")),
        ([], "hidden", ("hidden", "hidden")),
        ([OTHER] * 100, "agent", ("agent", "agent")),
    ],
)
async def test_assistants(fake: FakeLangGraph, load: Load, found: Any, wanted: str, taken: Any) -> None:
    """The only assistant is taken, or the one that is named, by its graph or its UUID."""
    fake.assistants = found
    answerer = await load(assistant=wanted)
    await answerer.answer(asked())
    assert (fake.bodies[0]["assistant_id"], answerer.name) == taken
    assert await answerer.ready() == (True, "")
    assert answerer.warnings() == ()


REFUSALS: list[tuple[Any, str, int, str]] = [
    ([AGENT, OTHER], "", 200, "has several assistants, agent, other: name one, {base}#agent"),
    ([MADE, MADE], "", 200, "has several assistants, 3: name one, {base}#3"),
    ([AGENT, OTHER], "x", 200, "has no assistant 'x', but agent, other: give {base}#agent"),
    ([], "", 200, "has no assistants"),
    ({"a": 1}, "", 200, "is no LangGraph server"),
    ([1], "", 200, "is no LangGraph server"),
    ([], "", 404, "is no LangGraph server"),
    ([], "", 401, "give a file that has it with --upstream-key-file"),
]


@pytest.mark.parametrize("case", REFUSALS)
async def test_refusals(fake: FakeLangGraph, base: str, load: Load, case: tuple[Any, str, int, str]) -> None:
    """What will never do ends the start, with a list of what there is or with the mend."""
    fake.assistants, wanted, fake.search_status, message = case
    with pytest.raises(LoadError) as caught:
        await load(assistant=wanted)
    assert message.format(base=base) in str(caught.value)


async def test_another_askd(fake: FakeLangGraph, base: str, load: Load) -> None:
    """A server that is an askd is recognised, and how to ask one is said."""
    fake.search_status, fake.search_headers = 404, {"Server": "askd"}
    with pytest.raises(LoadError, match=rf"give ask\+{base}"):
        await load()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_not_yet(fake: FakeLangGraph, load: Load, status: int) -> None:
    """A server that has trouble at the start is looked for again, by readiness and by questions."""
    fake.search_status = status
    answerer = await load()
    ready, why = await answerer.ready()
    assert not ready
    assert why.startswith("The server that answers")
    assert len(answerer.warnings()) == 1
    with pytest.raises(Unavailable):
        await answerer.answer(asked())
    fake.search_status = 200
    assert (await answerer.answer(asked())).text == "Hi"
    assert await answerer.ready() == (True, "")
    assert answerer.contract.summary == "Says hello."


async def test_down_at_the_start(fake: FakeLangGraph, nowhere: str, start: Start) -> None:
    """Nobody there: 503 that says so, until readiness, which does not wait, has found the server."""
    answerer = langgraph(nowhere)
    await answerer.load(quiet)
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await answerer.answer(asked())
    assert caught.value.retry_after == 1
    assert (await answerer.ready())[0] is False
    answerer.upstream.base = await start(fake.app())
    assert answerer._look
    await answerer._look
    assert (await answerer.ready())[0] is False
    await answerer._look
    assert await answerer.ready() == (True, "")
    await answerer.close()


async def test_wrong_when_it_comes(fake: FakeLangGraph, load: Load) -> None:
    """A server that turns out to be the wrong one after the start fails questions, and only the log says why."""
    fake.search_status = 503
    answerer = await load()
    fake.search_status, fake.assistants = 200, [AGENT, OTHER]
    with pytest.raises(UpstreamFailed) as caught:
        await answerer.answer(asked())
    assert "other" not in caught.value.detail
    ready, why = await answerer.ready()
    assert (ready, "other" in why) == (False, False)


async def test_one_look_for_all(fake: FakeLangGraph, load: Load) -> None:
    """Questions that come at the same time share one look; one that leaves does not take it from the others."""
    fake.search_status = 503
    answerer = await load()
    fake.search_status, fake.searched = 200, 0
    asking = [asyncio.create_task(answerer.answer(asked())) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert [getattr(each, "text", each) for each in done[1:]] == ["Hi"] * 4
    assert fake.searched == 1


@pytest.mark.parametrize(("assistant", "looks"), [("", 2), ("agent", 1)])
async def test_assistant_goes(fake: FakeLangGraph, load: Load, assistant: str, looks: int) -> None:
    """An assistant that was picked and is gone is looked up anew for the next question; one that is named is not."""
    answerer = await load(assistant=assistant)
    fake.status = 422
    with pytest.raises(UpstreamFailed):
        await answerer.answer(asked())
    fake.status = 200
    await answerer.answer(asked())
    assert fake.searched == looks


async def test_closed_while_looking(start: Start) -> None:
    """A look that does not end is cancelled by close."""
    begun = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        begun.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/assistants/search", hang)
    answerer = langgraph(await start(app))
    loading = asyncio.create_task(answerer.load(quiet))
    await asyncio.wait_for(begun.wait(), 30)
    loading.cancel()
    await asyncio.wait({loading})
    await answerer.close()
    assert answerer._look
    assert answerer._look.cancelled()
