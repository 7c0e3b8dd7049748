"""The examples of the documentation do what they say."""

from pathlib import Path

import pytest

from service.answerers.function import Function
from service.errors import BadQuestion, NoAnswer
from service.models import Answer, Question

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


async def example(name: str) -> Function:
    """The one function of an example, loaded by its file alone, as its first line says."""
    function = Function(str(EXAMPLES / name / "main.py"), threads=1, deterministic=None)
    await function.load(lambda line: None)
    return function


async def test_function() -> None:
    """The function greets in the language that is asked for, and as often."""
    function = await example("function")
    bound = function.bind({"lang": ["fr"], "times": ["2"]}, textual=True)
    greeting = await function.answer(Question(text="Ada", parameters=bound))
    assert greeting == Answer("Bonjour, Bonjour, Ada!", {"lang": "fr"})
    with pytest.raises(BadQuestion, match="give one of 'de', 'en', 'fr'"):
        function.bind({"lang": ["es"]}, textual=True)
    with pytest.raises(NoAnswer):
        await function.answer(Question(text=" "))
    assert function.deterministic
    assert [(each.name, each.description) for each in function.contract.parameters] == [
        ("lang", "the language of the greeting"),
        ("times", "how often the greeting is said"),
    ]
    assert (function.contract.answer_schema or {})["required"] == ["answer", "lang"]
    await function.close()


async def test_streaming() -> None:
    """The generator yields word by word, and a field at the end."""
    function = await example("streaming")
    vars(__import__("main"))["PAUSE"] = 0
    assert [item async for item in function.stream(Question(text="one two three"))] == [
        "one",
        " two",
        " three",
        Answer("one two three", {"words": 3}),
    ]
    await function.close()
