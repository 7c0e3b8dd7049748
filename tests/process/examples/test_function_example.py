"""docs/examples/function, run as its first lines describe."""

import json

from tests.process.examples.conftest import ServeExample, ask_query
from tests.support.askd_process import AskdProcess


async def test_function(serve: ServeExample) -> None:
    """The function takes a language and a count; an invalid language gets 400 with the valid ones."""
    process = await serve("function")
    assert await ask_query(process, "q=Ada") == (200, {"answer": "Hello, Ada!", "lang": "en"})
    assert await ask_query(process, "q=Ada&lang=fr&times=2") == (
        200,
        {"answer": "Bonjour, Bonjour, Ada!", "lang": "fr"},
    )
    status, problem = await ask_query(process, "q=Ada&lang=es")
    assert (status, problem["parameter"]) == (400, "lang")
    assert "give one of 'de', 'en', 'fr'" in problem["detail"]
    await check_contract(process)


async def check_contract(process: AskdProcess) -> None:
    """Check that the contract is that of the annotations and the docstring, and that answers are cached."""
    document = json.loads((await process.get("/openapi.json")).text)
    parameters = [item for item in document["paths"]["/ask"]["get"]["parameters"] if "name" in item]
    assert [(item["name"], item["description"]) for item in parameters[1:3]] == [
        ("lang", "the language of the greeting"),
        ("times", "how often to repeat the greeting"),
    ]
    assert document["components"]["schemas"]["Answer"]["required"] == ["answer", "lang"]
    assert (await process.get("/ask?q=Ada")).headers["Cache-Status"] == "askd; hit"
