"""The results of a function: return values, yielded items and exceptions."""

from pathlib import Path

import pytest

from askd.errors import AnswererFailed, NoAnswer
from askd.models import Answer, Question
from tests.support.user_functions import AskFunction, LoadFunction

OBJECTS = {
    "mapping": "def answer(text): return {'answer': text, 'n': 1}",
    "read-only mapping": "import types\ndef answer(text): return types.MappingProxyType({'answer': text, 'n': 1})",
    "struct": """
        import msgspec
        class Reply(msgspec.Struct):
            answer: str
            n: int
        def answer(text) -> Reply: return Reply(text, 1)
    """,
    "dataclass": """
        from dataclasses import dataclass
        @dataclass
        class Reply:
            answer: str
            n: int
        def answer(text) -> "Reply | None": return Reply(text, 1)
    """,
    "typed dictionary": """
        from typing import TypedDict
        class Reply(TypedDict):
            answer: str
            n: int
        def answer(text) -> Reply: return {"answer": text, "n": 1}
    """,
    "like pydantic": """
        class Reply:
            def __init__(self, **fields): self.fields = fields
            def model_dump(self, mode): return self.fields
            @classmethod
            def model_json_schema(cls, mode):
                number = {"type": "integer"}
                return {
                    "type": "object", "title": "Reply", "required": ["answer", "n"], "$defs": {"N": number},
                    "properties": {"answer": {"type": "string"}, "n": {"$ref": "#/$defs/N"}},
                }
        def answer(text) -> Reply: return Reply(answer=text, n=1)
    """,
    "askd's own": "from askd.models import Answer\ndef answer(text): return Answer(text, {'n': 1})",
    "generator of text and fields": """
        def answer(text):
            yield text
            yield None
            yield {"n": 1}
    """,
    "generator of an object": "def answer(text): yield {'answer': text, 'n': 1}",
}


@pytest.mark.parametrize("code", OBJECTS.values(), ids=OBJECTS.keys())
async def test_object_with_answer(load: LoadFunction, ask: AskFunction, code: str) -> None:
    """A mapping or object with `answer` is an answer; its other fields are extra fields."""
    assert await ask(await load(code), "hi") == Answer("hi", {"n": 1})


@pytest.mark.parametrize("name", ["struct", "dataclass", "typed dictionary", "like pydantic"])
async def test_answer_schema(load: LoadFunction, name: str) -> None:
    """The contract has the schema of the annotated return class, without references."""
    schema = (await load(OBJECTS[name])).contract.answer_schema or {}
    assert schema["properties"] == {"answer": {"type": "string"}, "n": {"type": "integer"}}
    assert schema["required"] == ["answer", "n"]
    assert "$defs" not in schema


async def test_recursive_schema(load: LoadFunction) -> None:
    """The inner occurrence of a recursive class is a plain object."""
    code = """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class Reply:
            answer: str
            more: list[Reply]
        def answer(text) -> Reply: return Reply(text, [])
    """
    schema = (await load(code)).contract.answer_schema or {}
    assert schema["properties"]["more"] == {"type": "array", "items": {"type": "object"}}


async def test_no_schema_for_text(load: LoadFunction) -> None:
    """A function that returns text gets no schema."""
    assert (await load("def answer(text) -> str: return text")).contract.answer_schema is None


async def test_fields_are_json_values(load: LoadFunction, ask: AskFunction) -> None:
    """Extra fields are converted to plain JSON values."""
    code = """
        import datetime, decimal
        class Model:
            def model_dump(self, mode): return {"a": 1}
        class Array:
            def tolist(self): return [1.5]
        def answer(text):
            return {"answer": text, "day": datetime.date(2020, 1, 2), "set": {1}, "m": Model(), "a": Array(), 5: None}
    """
    answer = await ask(await load(code), "hi")
    assert answer.fields == {"day": "2020-01-02", "set": [1], "m": {"a": 1}, "a": [1.5], "5": None}


@pytest.mark.parametrize("code", ["def answer(text): return None", "def answer(text):\n    yield from ()"])
async def test_none_is_no_answer(load: LoadFunction, ask: AskFunction, code: str) -> None:
    """None, or a generator that yields nothing, raises NoAnswer."""
    with pytest.raises(NoAnswer):
        await ask(await load(code))


async def test_str_subclasses(load: LoadFunction, ask: AskFunction) -> None:
    """The answer of a str subclass is its plain text."""
    code = """
        import enum
        class Word(str, enum.Enum):
            YES = "yes"
        def answer(text): return Word.YES
    """
    assert type((await ask(await load(code))).text) is str
    assert (await ask(await load(code))).text == "yes"


INVALID_RESULTS = {
    "bytes": ("return b'x'", "returned bytes"),
    "a number": ("return 5", "returned int"),
    "a list": ("return ['a']", "returned list"),
    "no answer in it": ("return {'text': 'x'}", "returned dict without an `answer`"),
    "answer is a number": ("return {'answer': 5}", "returned dict whose `answer` is int"),
    "not JSON": (
        "return {'answer': 'x', 'y': object()}",
        "returned dict that cannot be encoded as JSON: object is not JSON serializable",
    ),
    "a class": ("return str", "returned type"),
    "yields a number": ("yield 5", "returned int"),
    "yields another text": ("yield 'a'\n    yield {'answer': 'b'}", "differs from the text before it"),
}


@pytest.mark.parametrize(("body", "message"), INVALID_RESULTS.values(), ids=INVALID_RESULTS.keys())
async def test_invalid_result(load: LoadFunction, ask: AskFunction, body: str, message: str) -> None:
    """Any other result is an AnswererFailed whose cause, for the log, names the type; the client does not see it."""
    with pytest.raises(AnswererFailed) as caught:
        await ask(await load(f"def answer(text):\n    {body}"))
    assert message in str(caught.value.__cause__)
    assert message not in caught.value.detail


async def test_lone_surrogate(load: LoadFunction, ask: AskFunction) -> None:
    """Text that cannot be encoded is an AnswererFailed."""
    with pytest.raises(AnswererFailed) as caught:
        await ask(await load("def answer(text): return '\\ud800'"))
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_exceptions_propagate(load: LoadFunction, ask: AskFunction, prefix: str) -> None:
    """Exceptions of the code are raised unchanged, with the user's file in the traceback."""
    with pytest.raises(ZeroDivisionError) as caught:
        await ask(await load(f"{prefix}def answer(text): return 1 / 0"))
    assert Path(caught.traceback[-1].path).name == "main.py"


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("exception", ["SystemExit", "KeyboardInterrupt"])
async def test_code_cannot_end_the_server(load: LoadFunction, ask: AskFunction, prefix: str, exception: str) -> None:
    """SystemExit or KeyboardInterrupt in the code fails only its request."""
    with pytest.raises(AnswererFailed):
        await ask(await load(f"{prefix}def answer(text): raise {exception}"))


@pytest.mark.parametrize("exception", ["StopIteration", "asyncio.CancelledError"])
async def test_control_flow_from_threads(load: LoadFunction, ask: AskFunction, exception: str) -> None:
    """Exceptions with a special meaning for the event loop are failures if a thread raises them."""
    with pytest.raises((AnswererFailed, RuntimeError)):
        await ask(await load(f"import asyncio\ndef answer(text): raise {exception}"))


async def test_question_without_parameters(load: LoadFunction) -> None:
    """A question without parameters uses the function's defaults."""
    function = await load("def answer(text, lang='en'): return text + lang")
    assert await function.answer(Question(text="hi ")) == Answer("hi en")
