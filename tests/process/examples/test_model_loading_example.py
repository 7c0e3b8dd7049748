"""docs/examples/model_loading, run as its first lines describe."""

from tests.process.examples.conftest import ServeExample, ask_query


async def test_language_is_guessed(serve: ServeExample) -> None:
    """The model that was loaded at the start recognizes sentences that it does not contain."""
    process = await serve("model_loading")
    for query, language in (
        ("Wo+ist+der+Bahnhof%3F", "de"),
        ("Where+is+the+station%3F", "en"),
        ("O%C3%B9+est+la+gare+%3F", "fr"),
    ):
        status, body = await ask_query(process, f"q={query}")
        assert (status, body["answer"]) == (200, language)
