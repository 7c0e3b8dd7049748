"""docs/examples/streaming, as its first lines say."""

from tests.examples.conftest import Serve, ask


async def test_the_echo(serve: Serve) -> None:
    """It streams word by word to those who ask so, and answers others in one piece."""
    process = await serve("streaming")
    assert await ask(process, "q=one+two") == (200, {"answer": "one two", "words": 2})
    status, text = await ask(process, "q=one+two", Accept="text/event-stream")
    assert status == 200
    assert [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")] == [
        '"one"',
        '" two"',
        '{"answer":"one two","words":2}',
    ]
