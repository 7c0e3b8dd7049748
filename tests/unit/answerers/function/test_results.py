"""The results of a function: return values, yielded items and exceptions."""

from pathlib import Path
from typing import Any

import pytest

from askd.errors import AnswererFailed, NoAnswer
from askd.models import Answer, Question
from tests.support.user_function_fixtures import AskFunction, LoadFunction

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
    "pydantic": """
        import pydantic
        class Reply(pydantic.BaseModel):
            answer: str
            n: int
        def answer(text) -> Reply: return Reply(answer=text, n=1)
    """,
    "attrs": """
        import attrs
        @attrs.define
        class Reply:
            answer: str
            n: int
        def answer(text) -> Reply: return Reply(text, 1)
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


@pytest.mark.parametrize("name", ["struct", "dataclass", "typed dictionary", "pydantic", "attrs"])
async def test_answer_schema(load: LoadFunction, name: str) -> None:
    """The contract has the schema of the annotated return class, without references."""
    schema = (await load(OBJECTS[name])).contract.answer_schema or {}
    properties = {field: value["type"] for field, value in schema["properties"].items()}
    assert properties == {"answer": "string", "n": "integer"}
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


ANSWER_SCHEMAS = {
    "": {},
    "-> int": {"type": "integer"},
    "-> list[str]": {"type": "array", "items": {"type": "string"}},
    "-> dict": {},
    "-> dict[str, int] | None": {},
    "-> object": {},
    "-> Exception": {},
}


@pytest.mark.parametrize(("annotation", "schema"), ANSWER_SCHEMAS.items())
async def test_schema_of_other_results(load: LoadFunction, annotation: str, schema: dict[str, Any]) -> None:
    """The contract has the schema of any annotated result; a mapping may have its own `answer`."""
    contract = (await load(f"def answer(text) {annotation}: return text")).contract
    assert contract.answer_schema == {"type": "object", "properties": {"answer": schema}, "required": ["answer"]}


async def test_schema_of_another_name(load: LoadFunction) -> None:
    """A field such as `response` is the answer in the contract too."""
    code = """
        from dataclasses import dataclass
        @dataclass
        class Reply:
            score: float
            response: str
        def answer(text) -> Reply: return Reply(1, text)
    """
    schema = (await load(code)).contract.answer_schema or {}
    assert list(schema["properties"]) == schema["required"] == ["answer", "score"]


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


ANY_RESULTS = {
    "int": ("return 5", Answer("5", {}, 5)),
    "int subclass": ("import enum\n    return enum.IntEnum('N', 'A').A", Answer("1", {}, 1)),
    "large int": ("return 2**70", Answer(str(2**70), {}, 2**70)),
    "float": ("return 0.5", Answer("0.5", {}, 0.5)),
    "no number": ("return float('nan')", Answer("nan")),
    "bool": ("return False", Answer("false", {}, value=False)),
    "decimal": ("import decimal\n    return decimal.Decimal('1.50')", Answer("1.50")),
    "complex": ("return 1j", Answer("1j")),
    "date": ("import datetime\n    return datetime.date(2020, 1, 2)", Answer("2020-01-02")),
    "time": ("import datetime\n    return datetime.time(1, 2)", Answer("01:02:00")),
    "enum": ("import enum\n    return enum.Enum('E', {'A': 'yes'}).A", Answer("yes")),
    "uuid": ("import uuid\n    return uuid.UUID(int=1)", Answer("00000000-0000-0000-0000-000000000001")),
    "path": ("import pathlib\n    return pathlib.Path('a/b')", Answer("a/b")),
    "bytes": ("return 'é'.encode()", Answer("é")),
    "list": ("return ['a', 1]", Answer('["a",1]', {}, ["a", 1])),
    "empty list": ("return []", Answer("[]", {}, [])),
    "tuple": ("return 'a', 1", Answer('["a",1]', {}, ["a", 1])),
    "set": ("return {1}", Answer("[1]", {}, [1])),
    "range": ("return range(2)", Answer("[0,1]", {}, [0, 1])),
    "dict": ("return {'x': 1}", Answer('{"x":1}', {}, {"x": 1})),
    "keys of other types": ("return {(1, 2): 3}", Answer('{"(1, 2)":3}', {}, {"(1, 2)": 3})),
    "named tuple": (
        "import collections\n    return collections.namedtuple('P', 'x y')(1, 2)",
        Answer('{"x":1,"y":2}', {}, {"x": 1, "y": 2}),
    ),
    "array": ("return type('A', (), {'tolist': lambda self: [1.5]})()", Answer("[1.5]", {}, [1.5])),
    "object as a dictionary": (
        "return type('A', (), {'toDict': lambda self: {'answer': 'x', 'n': 1}})()",
        Answer("x", {"n": 1}),
    ),
    "text of an object": ("return type('A', (), {'__str__': lambda self: 'x'})()", Answer("x")),
    "representation of an object": (
        "return [type('A', (), {'__repr__': lambda self: 'x'})()]",
        Answer('["x"]', {}, ["x"]),
    ),
    "attribute of an object": ("return type('A', (), {'text': 'x'})()", Answer("x")),
    "mapping with a number": ("return {'answer': 5, 'n': 1}", Answer("5", {"n": 1}, 5)),
    "mapping with text": ("return {'text': 'x', 'n': 1}", Answer("x", {"n": 1})),
    "the first of several names": ("return {'content': 'y', 'response': 'x'}", Answer("x", {"content": "y"})),
    "a name that is None": ("return {'response': None, 'text': 'x'}", Answer("x", {"response": None})),
    "dataclass without an answer": (
        "import dataclasses\n    return dataclasses.make_dataclass('D', ['x'])(1)",
        Answer('{"x":1}', {}, {"x": 1}),
    ),
    "dataclass that is not JSON": (
        "import dataclasses\n    return dataclasses.make_dataclass('D', ['answer', 'raw'])('x', object())",
        Answer("x"),
    ),
    "yields numbers": ("yield 5\n    yield 6", Answer("[5,6]", {}, [5, 6])),
    "yields a number": ("yield 5", Answer("[5]", {}, [5])),
    "yields one mapping": ("yield {'x': 1}", Answer('{"x":1}', {}, {"x": 1})),
    "yields mappings": ("yield {'x': 1}\n    yield {'x': 2}", Answer('[{"x":1},{"x":2}]', {}, [{"x": 1}, {"x": 2}])),
    "yields a number in text": ("yield 'a'\n    yield 5\n    yield 'b'", Answer("a5b")),
    "yields a number before text": ("yield 5\n    yield {'n': 1}\n    yield 'b'", Answer("5b", {"n": 1})),
    "yields chunks": ("yield {'content': 'a'}\n    yield {'content': 'b', 'n': 1}", Answer("ab", {"n": 1})),
    "yields the text so far": ("yield 'a'\n    yield {'answer': 'ab', 'n': 1}", Answer("ab", {"n": 1})),
}


@pytest.mark.parametrize(("body", "answer"), ANY_RESULTS.values(), ids=ANY_RESULTS.keys())
async def test_any_result_is_an_answer(load: LoadFunction, ask: AskFunction, body: str, answer: Answer) -> None:
    """Any value that has a JSON form is an answer; its text is its JSON unless it is text."""
    assert await ask(await load(f"def answer(text):\n    {body}")) == answer


async def test_answer_is_none(load: LoadFunction, ask: AskFunction) -> None:
    """A mapping whose answer is None has no answer."""
    with pytest.raises(NoAnswer):
        await ask(await load("def answer(text): return {'answer': None, 'n': 1}"))


INVALID_RESULTS = {
    "bytes": ("return b'\\xff'", "returned bytes that are not UTF-8 text"),
    "not JSON": (
        "return {'answer': 'x', 'y': object()}",
        "returned dict, which cannot be encoded as JSON: object is not JSON serializable",
    ),
    "a class": ("return str", "returned type, which cannot be encoded as JSON"),
    "a circle": ("x = []\n    x.append(x)\n    return x", "returned list, which cannot be encoded as JSON"),
    "yields another text": ("yield 'a'\n    yield {'answer': 'b'}", "differs from the text before it"),
}


@pytest.mark.parametrize(("body", "message"), INVALID_RESULTS.values(), ids=INVALID_RESULTS.keys())
async def test_invalid_result(load: LoadFunction, ask: AskFunction, body: str, message: str) -> None:
    """A result without a JSON form is an AnswererFailed; its cause, for the log, names the type."""
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
