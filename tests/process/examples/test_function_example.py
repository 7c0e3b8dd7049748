"""docs/examples/function, run as its first lines describe."""

from tests.process.examples.conftest import ServeExample, ask_query


async def test_function(serve: ServeExample) -> None:
    """The function takes a language and a count, and an invalid language gets 400 with the valid ones."""
    process = await serve("function")
    assert await ask_query(process, "q=Ada") == (200, {"answer": "Hello, Ada!", "lang": "en"})
    assert await ask_query(process, "q=Ada&lang=fr&times=2") == (
        200,
        {"answer": "Bonjour, Bonjour, Ada!", "lang": "fr"},
    )
    status, problem = await ask_query(process, "q=Ada&lang=es")
    assert (status, problem["parameter"]) == (400, "lang")
    assert "give one of 'de', 'en', 'fr'" in problem["detail"]
