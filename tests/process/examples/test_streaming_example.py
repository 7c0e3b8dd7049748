"""docs/examples/streaming, run as its first lines describe."""

from tests.process.examples.conftest import ServeExample, ask_query


async def test_streaming(serve: ServeExample) -> None:
    """The answer is streamed word by word if the client accepts events, and sent as one piece otherwise."""
    process = await serve("streaming")
    assert await ask_query(process, "q=one+two") == (200, {"answer": "one two", "words": 2})
    status, text = await ask_query(process, "q=one+two", Accept="text/event-stream")
    assert status == 200
    assert [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")] == [
        '"one"',
        '" two"',
        '{"answer":"one two","words":2}',
    ]
