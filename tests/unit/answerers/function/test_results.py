"""What code returns or raises, and what becomes of it."""

from pathlib import Path

import pytest

from service.errors import AnswererFailed, NoAnswer
from service.models import Answer, Question
from tests.answerers.function.user_code import Ask, Load

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
        def answer(text) -> Reply | None: return Reply(text, 1)
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
    "askd's own": "from service.models import Answer\ndef answer(text): return Answer(text, {'n': 1})",
    "generator of text and fields": """
        def answer(text):
            yield text
            yield None
            yield {"n": 1}
    """,
    "generator of a whole": "def answer(text): yield {'answer': text, 'n': 1}",
}


@pytest.mark.parametrize("code", OBJECTS.values(), ids=OBJECTS.keys())
async def test_object_with_answer(load: Load, ask: Ask, code: str) -> None:
    """A mapping or object with `answer` answers; its other fields stand beside the text."""
    assert await ask(await load(code), "hi") == Answer("hi", {"n": 1})


@pytest.mark.parametrize("name", ["struct", "dataclass", "typed dictionary", "like pydantic"])
async def test_answer_schema(load: Load, name: str) -> None:
    """The class in the return annotation is in the contract, without references."""
    schema = (await load(OBJECTS[name])).contract.answer_schema or {}
    assert schema["properties"] == {"answer": {"type": "string"}, "n": {"type": "integer"}}
    assert schema["required"] == ["answer", "n"]
    assert "$defs" not in schema


async def test_recursive_schema(load: Load) -> None:
    """A class that contains itself is described without end."""
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


async def test_no_schema_for_text(load: Load) -> None:
    """A function that returns text needs no schema of its own."""
    assert (await load("def answer(text) -> str: return text")).contract.answer_schema is None


async def test_fields_as_clients_see_them(load: Load, ask: Ask) -> None:
    """Extra fields are plain JSON values, whatever they were."""
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
async def test_none_is_no_answer(load: Load, ask: Ask, code: str) -> None:
    """None, and a generator that yields nothing, is no answer."""
    with pytest.raises(NoAnswer):
        await ask(await load(code))


async def test_str_subclasses(load: Load, ask: Ask) -> None:
    """A subclass of str answers with its plain text."""
    code = """
        import enum
        class Word(str, enum.Enum):
            YES = "yes"
        def answer(text): return Word.YES
    """
    assert type((await ask(await load(code))).text) is str
    assert (await ask(await load(code))).text == "yes"


NO_ANSWERS = {
    "bytes": ("return b'x'", "returned bytes"),
    "a number": ("return 5", "returned int"),
    "a list": ("return ['a']", "returned list"),
    "no answer in it": ("return {'text': 'x'}", "returned dict without an `answer`"),
    "answer is a number": ("return {'answer': 5}", "returned dict whose `answer` is int"),
    "no JSON": ("return {'answer': 'x', 'y': object()}", "returned dict that is no JSON: object has no form in JSON"),
    "a class": ("return str", "returned type"),
    "yields a number": ("yield 5", "returned int"),
    "yields another text": ("yield 'a'\n    yield {'answer': 'b'}", "differs from the text before it"),
}


@pytest.mark.parametrize(("body", "message"), NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_what_is_no_answer(load: Load, ask: Ask, body: str, message: str) -> None:
    """Anything else is a failure whose cause, for the log, names the type; the client learns nothing of it."""
    with pytest.raises(AnswererFailed) as caught:
        await ask(await load(f"def answer(text):\n    {body}"))
    assert message in str(caught.value.__cause__)
    assert message not in caught.value.detail


async def test_lone_surrogate(load: Load, ask: Ask) -> None:
    """Text that cannot be encoded is the code's failure, not the server's."""
    with pytest.raises(AnswererFailed) as caught:
        await ask(await load("def answer(text): return '\\ud800'"))
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_exceptions_propagate(load: Load, ask: Ask, prefix: str) -> None:
    """What the code raises arrives as it is, its traceback in the user's file."""
    with pytest.raises(ZeroDivisionError) as caught:
        await ask(await load(f"{prefix}def answer(text): return 1 / 0"))
    assert Path(caught.traceback[-1].path).name == "main.py"


@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
async def test_code_cannot_end_the_server(load: Load, ask: Ask, prefix: str, kind: str) -> None:
    """SystemExit or KeyboardInterrupt from the code fails its exchange and nothing else."""
    with pytest.raises(AnswererFailed):
        await ask(await load(f"{prefix}def answer(text): raise {kind}"))


@pytest.mark.parametrize("kind", ["StopIteration", "asyncio.CancelledError"])
async def test_control_flow_from_threads(load: Load, ask: Ask, kind: str) -> None:
    """Exceptions that mean something else to the loop are failures when a thread's code raises them."""
    with pytest.raises((AnswererFailed, RuntimeError)):
        await ask(await load(f"import asyncio\ndef answer(text): raise {kind}"))


async def test_question_without_bind(load: Load) -> None:
    """A question that was made by hand, without parameters, gets the function's own defaults."""
    function = await load("def answer(text, lang='en'): return text + lang")
    assert await function.answer(Question(text="hi ")) == Answer("hi en")
