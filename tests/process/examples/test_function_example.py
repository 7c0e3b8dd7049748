"""docs/examples/function, as its first lines say."""

from tests.examples.conftest import Serve, ask


async def test_the_greeter(serve: Serve) -> None:
    """It greets, in a language and as often as asked for, and says which languages there are."""
    process = await serve("function")
    assert await ask(process, "q=Ada") == (200, {"answer": "Hello, Ada!", "lang": "en"})
    assert await ask(process, "q=Ada&lang=fr&times=2") == (200, {"answer": "Bonjour, Bonjour, Ada!", "lang": "fr"})
    status, problem = await ask(process, "q=Ada&lang=es")
    assert (status, problem["parameter"]) == (400, "lang")
    assert "give one of 'de', 'en', 'fr'" in problem["detail"]
