"""docs/examples/langgraph, run as its first lines describe."""

import json

import pytest

from tests.process.examples.conftest import EXAMPLES, ServeExample, ask_query
from tests.support.askd_process import AskdProcess, StartAskd


async def order_and_pay(process: AskdProcess) -> None:
    """Order and pay, as the first lines of the example show."""
    assert await ask_query(process, "q=soup&thread=table-1") == (200, {"answer": "Your order: soup. Anything else?"})
    assert await ask_query(process, "q=bread&thread=table-1") == (
        200,
        {"answer": "Your order: soup, bread. Anything else?"},
    )
    assert await ask_query(process, "q=bread&thread=table-2") == (200, {"answer": "Your order: bread. Anything else?"})
    status, problem = await ask_query(process, "q=pay&thread=table-1")
    assert (status, problem["title"]) == (409, "Interrupted")
    assert problem["interrupt"] == {"dishes": ["soup", "bread"], "question": "Cash or card?"}
    assert await ask_query(process, "q=card&thread=table-1") == (200, {"answer": "Paid by card. Goodbye!"})
    for _ in range(2):
        assert await ask_query(process, "q=soup") == (200, {"answer": "Your order: soup. Anything else?"})


async def test_graph(serve: ServeExample) -> None:
    """The graph remembers the order of each table, and interrupts to ask how the guest pays."""
    await order_and_pay(await serve("langgraph"))


@pytest.mark.parametrize("name", ["langgraph.json", "langgraph.json#waiter"])
@pytest.mark.slow
async def test_langgraph_json(start: StartAskd, name: str) -> None:
    """The graph is served through `langgraph.json`, with a warning that its memory is not persistent."""
    process = await start("serve", str(EXAMPLES / "langgraph" / name))
    await process.wait_for_event("ready")
    await order_and_pay(process)
    assert "InMemorySaver" in json.dumps(await process.wait_for_event("answerer_warning"))


@pytest.mark.slow
async def test_streaming(serve: ServeExample) -> None:
    """The stream has the text as a delta, then the whole answer."""
    status, text = await ask_query(await serve("langgraph"), "q=soup&thread=a", Accept="text/event-stream")
    assert status == 200
    assert text == (
        'event: delta\ndata: "Your order: soup. Anything else?"\n\n'
        'event: answer\ndata: {"answer":"Your order: soup. Anything else?"}\n\n'
    )
