"""The examples of the documentation work."""

from pathlib import Path

import pytest

from askd.answerers.function import FunctionAnswerer
from askd.errors import BadQuestion, NoAnswer
from askd.models import Answer, Question

EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"


async def example(name: str) -> FunctionAnswerer:
    """Load the only function of an example by its file name."""
    function = FunctionAnswerer(str(EXAMPLES / name / "main.py"), threads=1, deterministic=None)
    await function.load(lambda line: None)
    return function


async def test_function() -> None:
    """The function greets in the requested language, as often as requested."""
    function = await example("function")
    parameters = function.parse_parameters({"lang": ["fr"], "times": ["2"]}, from_strings=True)
    greeting = await function.answer(Question(text="Ada", parameters=parameters))
    assert greeting == Answer("Bonjour, Bonjour, Ada!", {"lang": "fr"})
    with pytest.raises(BadQuestion, match="give one of 'de', 'en', 'fr'"):
        function.parse_parameters({"lang": ["es"]}, from_strings=True)
    with pytest.raises(NoAnswer):
        await function.answer(Question(text=" "))
    assert function.deterministic
    assert [(parameter.name, parameter.description) for parameter in function.contract.parameters] == [
        ("lang", "the language of the greeting"),
        ("times", "how often to repeat the greeting"),
    ]
    assert (function.contract.answer_schema or {})["required"] == ["answer", "lang"]
    await function.close()


async def test_streaming() -> None:
    """The generator yields the words one by one, and a field at the end."""
    function = await example("streaming")
    vars(__import__("main"))["PAUSE"] = 0
    assert [item async for item in function.stream(Question(text="one two three"))] == [
        "one",
        " two",
        " three",
        Answer("one two three", {"words": 3}),
    ]
    await function.close()
