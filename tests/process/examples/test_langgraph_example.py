"""docs/examples/langgraph, as its first lines say."""

import json

import pytest

from tests.examples.conftest import EXAMPLES, Serve, ask
from tests.process.conftest import Process, Start


async def talk(process: Process) -> None:
    """Order, and pay, as the example's first lines show."""
    assert await ask(process, "q=soup&thread=table-1") == (200, {"answer": "Your order: soup. Anything else?"})
    assert await ask(process, "q=bread&thread=table-1") == (200, {"answer": "Your order: soup, bread. Anything else?"})
    assert await ask(process, "q=bread&thread=table-2") == (200, {"answer": "Your order: bread. Anything else?"})
    status, problem = await ask(process, "q=pay&thread=table-1")
    assert (status, problem["title"]) == (409, "Interrupted")
    assert problem["interrupt"] == {"dishes": ["soup", "bread"], "question": "Cash or card?"}
    assert await ask(process, "q=card&thread=table-1") == (200, {"answer": "Paid by card. Goodbye!"})
    for _ in range(2):
        assert await ask(process, "q=soup") == (200, {"answer": "Your order: soup. Anything else?"})


async def test_the_waiter(serve: Serve) -> None:
    """It remembers each table's order, and asks how the guest pays."""
    await talk(await serve("langgraph"))


@pytest.mark.parametrize("name", ["langgraph.json", "langgraph.json#waiter"])
async def test_the_project(start: Start, name: str) -> None:
    """The same through its `langgraph.json`; the log warns of memory that dies with the process."""
    process = await start("serve", str(EXAMPLES / "langgraph" / name))
    await process.event("ready")
    await talk(process)
    assert "InMemorySaver" in json.dumps(await process.event("the answerer warns"))


async def test_it_streams(serve: Serve) -> None:
    """Asked for events, it sends the text, then the whole."""
    status, text = await ask(await serve("langgraph"), "q=soup&thread=a", Accept="text/event-stream")
    assert status == 200
    assert text == (
        'event: delta\ndata: "Your order: soup. Anything else?"\n\n'
        'event: answer\ndata: {"answer":"Your order: soup. Anything else?"}\n\n'
    )
