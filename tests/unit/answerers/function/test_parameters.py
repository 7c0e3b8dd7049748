"""Parameters other than the text: their values, their entries in the contract, and errors."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.function.converters import create_converter
from askd.answerers.function.parameters import ExtraParameter, ParameterParser
from askd.errors import BadQuestion, LoadError
from askd.models import Question
from tests.support.user_function_fixtures import AskFunction, LoadFunction

MANY_PARAMETERS = '''
    from __future__ import annotations
    import enum
    from typing import Annotated, Literal, Optional
    import msgspec

    class Tone(enum.Enum):
        DRY = "dry"
        WARM = "warm"

    def answer(
        text: str,
        lang: str = "en",
        count: int = 1,
        share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5,
        loud: bool = False,
        form: Literal["short", "long"] = "short",
        tone: Tone = Tone.DRY,
        tags: list[str] = [],
        near: Optional[int] = None,
        old: str = None,
        plain=3,
        _cache={},
        *rest,
        **more,
    ) -> str:
        """Say it.

        As often as needed.

        Args:
            lang: the language
                of the answer
            count (int): how often
        """
        return repr((lang, count, share, loud, form, tone, tags, near, old, plain))
'''


async def test_defaults(load: LoadFunction, ask: AskFunction) -> None:
    """A missing parameter has the default value, so the question equals one with the default given."""
    function = await load(MANY_PARAMETERS)
    parameters = function.parse_parameters({}, from_strings=True)
    assert list(parameters) == ["lang", "count", "share", "loud", "form", "tone", "tags", "near", "old", "plain"]
    assert parameters == function.parse_parameters({"lang": ["en"], "count": ["1"], "tone": ["dry"]}, from_strings=True)
    assert (await ask(function)).text == repr(("en", 1, 0.5, False, "short", parameters["tone"], [], None, None, 3))


async def test_from_query(load: LoadFunction, ask: AskFunction) -> None:
    """Query strings are converted to the annotated types."""
    function = await load(MANY_PARAMETERS)
    query = dict(count=["2"], share=["1"], loud=["true"], form=["long"], tone=["warm"], tags=["a", "b"], near=["5"])
    parameters = function.parse_parameters(query, from_strings=True)
    assert parameters["tone"].value == "warm"
    assert {**parameters, "tone": 0} == dict(
        lang="en", count=2, share=1.0, loud=True, form="long", tone=0, tags=["a", "b"], near=5, old=None, plain=3
    )


async def test_from_json(load: LoadFunction) -> None:
    """JSON values are not converted: a number in quotes is an error."""
    function = await load(MANY_PARAMETERS)
    assert function.parse_parameters({"count": 2, "near": None, "tags": ["a"]}, from_strings=False)["count"] == 2
    with pytest.raises(BadQuestion) as caught:
        function.parse_parameters({"count": "2"}, from_strings=False)
    assert caught.value.extensions == {"parameter": "count"}
    assert caught.value.detail == "`count`: expected `int`, got '2'."


@pytest.mark.parametrize(
    ("name", "values", "detail"),
    [
        ("count", ["two"], "`count`: expected `int`, got 'two'."),
        ("count", ["1", "2"], "`count` is given 2 times: give it once."),
        ("share", ["1.5"], "`share`: expected `float` <= 1.0."),
        ("loud", ["perhaps"], "`loud`: expected `bool`, got 'perhaps'."),
        ("form", ["middle"], "`form`: invalid enum value 'middle': give one of 'long', 'short'."),
        ("tone", ["cold"], "`tone`: invalid enum value 'cold': give one of 'dry', 'warm'."),
        ("near", [""], "`near`: expected `int | null`, got ''."),
    ],
)
async def test_invalid_values(load: LoadFunction, name: str, values: list[str], detail: str) -> None:
    """The error for an invalid value names the parameter and the expected value."""
    function = await load(MANY_PARAMETERS)
    with pytest.raises(BadQuestion) as caught:
        function.parse_parameters({name: values}, from_strings=True)
    assert (caught.value.extensions, caught.value.detail) == ({"parameter": name}, detail)


@pytest.mark.parametrize("annotation", ["float", "list[float]"])
@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
async def test_not_finite(load: LoadFunction, annotation: str, text: str) -> None:
    """A query cannot contain numbers that JSON does not have."""
    function = await load(f"def answer(text, x: {annotation}): return text")
    with pytest.raises(BadQuestion, match="expected a finite number"):
        function.parse_parameters({"x": [text]}, from_strings=True)


async def test_required(load: LoadFunction, ask: AskFunction) -> None:
    """A parameter without a default is required; without an annotation it is text."""
    function = await load("def answer(text, lang, *, count: int): return lang * count")
    assert (await ask(function, lang=["e"], count=["3"])).text == "eee"
    with pytest.raises(BadQuestion, match=r"`count` is missing\.") as caught:
        function.parse_parameters({"lang": ["e"]}, from_strings=True)
    assert caught.value.extensions == {"parameter": "count"}


async def test_default_none_without_annotation(load: LoadFunction) -> None:
    """None says nothing about the type: JSON values are unchanged, and a text of a query stays a text."""
    function = await load("def answer(text, x=None): return text")
    for value in (1, 1.5, True, None, "1", [1], {"a": 1}):
        assert function.parse_parameters({"x": value}, from_strings=False) == {"x": value}
    assert function.parse_parameters({"x": ["1"]}, from_strings=True) == {"x": "1"}
    assert function.parse_parameters({}, from_strings=False) == {"x": None}
    (entry,) = function.contract.parameters
    assert (entry.schema, entry.required) == ({"default": None}, False)


async def test_parameters_of_a_library_function(load: LoadFunction) -> None:
    """Parameters of `json.dumps` take the values that it takes."""
    function = await load("from json import dumps as answer")
    parameters = function.parse_parameters({"indent": 1, "separators": [",", "="]}, from_strings=False)
    assert (parameters["indent"], parameters["separators"]) == (1, [",", "="])


async def test_item_of_list(load: LoadFunction) -> None:
    """The error for an invalid list item has its index."""
    function = await load("def answer(text, n: list[int] = ()): return repr(n)")
    assert function.parse_parameters({"n": ["1", "2"]}, from_strings=True) == {"n": [1, 2]}
    with pytest.raises(BadQuestion, match="`n\\[1\\]`: expected `int`, got 'x'"):
        function.parse_parameters({"n": ["1", "x"]}, from_strings=True)


async def test_contract(load: LoadFunction) -> None:
    """The contract has descriptions, and JSON Schemas with defaults and without references."""
    contract = (await load(MANY_PARAMETERS)).contract
    entries = {entry.name: entry for entry in contract.parameters}
    assert (contract.summary, contract.description) == ("Say it.", "As often as needed.")
    assert (entries["lang"].description, entries["count"].description) == ("the language of the answer", "how often")
    assert entries["lang"].schema == {"type": "string", "default": "en"}
    assert entries["tone"].schema == {"title": "Tone", "enum": ["dry", "warm"], "default": "dry"}
    assert entries["tags"].schema == {"type": "array", "items": {"type": "string"}, "default": []}
    assert entries["share"].schema == {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}
    assert entries["near"].schema == {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}
    assert not any(entry.required for entry in contract.parameters)
    assert not {"text", "_cache", "rest", "more"} & set(entries)


async def test_contract_without_docstring(load: LoadFunction) -> None:
    """A function without a docstring has the default summary."""
    assert (await load("def answer(text): return text")).contract.summary == "Answers a question."


async def test_docstring_of_object(load: LoadFunction) -> None:
    """The docstring of a callable object is that of `__call__`, or else of its class."""
    code = """
        class Code:
            "Of the class."
            def __call__(self, text): return text
        answer = Code()
    """
    assert (await load(code)).contract.summary == "Of the class."


async def test_partial_keeps_its_keywords(load: LoadFunction, ask: AskFunction) -> None:
    """Clients neither see nor set the keyword arguments of a partial."""
    code = """
        import functools
        def say(text, key: str, lang: str = "en"): return f"{text} {key} {lang}"
        answer = functools.partial(say, key="secret")
    """
    function = await load(code)
    assert [entry.name for entry in function.contract.parameters] == ["lang"]
    assert (await ask(function, "hi", lang=["fr"])).text == "hi secret fr"
    with pytest.raises(BadQuestion, match="`key` is not a parameter"):
        function.parse_parameters({"key": ["mine"]}, from_strings=True)


QUESTIONS = {
    "by class": "from askd.models import Question\ndef answer(query: Question): return query.text + query.id",
    "by class, quoted": "from askd.models import Question\ndef answer(query: 'Question'): return query.text + query.id",
    "for type checkers only": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from askd import models
        def answer(query: models.Question): return query.text + query.id
    """,
    "by name beside the text": "def answer(text, question): return text + question.id",
    "by class beside the text": (
        "from askd.models import Question\ndef answer(text, *, query: Question): return text + query.id"
    ),
}


@pytest.mark.parametrize("code", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_takes_question(load: LoadFunction, code: str) -> None:
    """A parameter annotated Question, or named `question`, gets the Question and is not a request parameter."""
    function = await load(code)
    assert function.contract.parameters == []
    assert (await function.answer(Question(text="hi ", id="7"))).text == "hi 7"


@pytest.mark.parametrize(
    "code", ["def answer(question): return question", "def answer(question: str): return question"]
)
async def test_first_parameter_named_question_gets_the_text(load: LoadFunction, ask: AskFunction, code: str) -> None:
    """The first parameter gets the text even if its name is `question`."""
    assert (await ask(await load(code), "hi")).text == "hi"


async def test_question_annotated_str_is_a_parameter(load: LoadFunction) -> None:
    """A later parameter named `question` with another annotation is a request parameter."""
    function = await load("def answer(text, question: str = 'x'): return question")
    assert [entry.name for entry in function.contract.parameters] == ["question"]


UNSUPPORTED = {
    "own class": ("x: Exception", "`x` is Exception, which a request cannot carry: give it a default, or use str, int"),
    "list of an own class": ("x: list[Exception]", "`x` is list[Exception], which a request cannot carry"),
}


@pytest.mark.parametrize(("parameter", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
async def test_unsupported_parameter(load: LoadFunction, parameter: str, message: str) -> None:
    """A parameter that a request cannot supply is a LoadError that names it."""
    with pytest.raises(LoadError) as caught:
        await load(f"def answer(text, {parameter}): return text")
    assert message in str(caught.value)


async def test_annotation_missing_at_run_time(load: LoadFunction, ask: AskFunction) -> None:
    """A required parameter whose annotation exists only for type checkers takes any value, which is noted."""
    function = await load("def answer(text: 'Nowhere', x: 'Nowhere'): return text + x")
    assert (await ask(function, "hi", x=["!"])).text == "hi!"
    assert function.notes() == [
        "`x` is not validated: Nowhere does not exist at run time",
        "`text` is not validated: Nowhere does not exist at run time",
    ]


KEPT_DEFAULTS = {
    "no type": "x=object()",
    "own class": "x: Exception = None",
    "own classes": "x: Exception | type | None = None",
    "iterable of an own class": "x: 'typing.Iterable[Exception] | None' = None",
    "function": "x=len",
    "path": "x: pathlib.Path = pathlib.Path('/etc/passwd')",
    "missing at run time": "x: 'Nowhere' = 1",
}


@pytest.mark.parametrize("parameter", KEPT_DEFAULTS.values(), ids=KEPT_DEFAULTS.keys())
async def test_parameter_keeps_its_default(load: LoadFunction, parameter: str) -> None:
    """An optional parameter that a request cannot set keeps its default, which is noted."""
    function = await load(f"import pathlib, typing\ndef answer(text, {parameter}): return text")
    assert function.contract.parameters == []
    assert function.notes() == ["`x` keeps its default: a request cannot carry its type"]
    with pytest.raises(BadQuestion, match="`x` is not a parameter"):
        function.parse_parameters({"x": ["1"]}, from_strings=True)


SUPPORTED_MEMBERS = {
    "own class or text": ("x: Locale | str | None = None", ["de"], "de"),
    "own class or numbers": ("x: Locale | list[int] = Locale()", ["1", "2"], [1, 2]),
    "quoted": ("x: 'Locale | int' = 1", ["2"], 2),
    "annotated": ("x: Annotated[Locale | int, 'a number'] = 1", ["2"], 2),
    "constraint": ("x: Locale | Annotated[int, pydantic.Field(gt=0)] | None = None", ["2"], 2),
    "required": ("x: Locale | str", ["de"], "de"),
    "iterable": ("x: Iterable[str] = ()", ["a", "b"], ["a", "b"]),
    "iterable or None": ("x: Iterable[int] | None = None", ["1", "2"], [1, 2]),
    "iterable without type": ("x: Iterable = ()", ["a"], ["a"]),
    "typing": ("x: typing.Optional[typing.Iterable[str]] = None", ["a"], ["a"]),
    "collection": ("x: Collection[str] | None = None", ["a", "b"], ["a", "b"]),
}


@pytest.mark.parametrize(("parameter", "strings", "value"), SUPPORTED_MEMBERS.values(), ids=SUPPORTED_MEMBERS.keys())
async def test_supported_part_of_a_type(load: LoadFunction, parameter: str, strings: list[str], value: Any) -> None:
    """A request sets an iterable as a list, and a union as one of the members that it can carry."""
    code = f"""
        import typing
        import pydantic
        from collections.abc import Collection, Iterable
        from typing import Annotated
        class Locale: ...
        def answer(text, {parameter}): return text
    """
    function = await load(code)
    assert function.parse_parameters({"x": strings}, from_strings=True) == {"x": value}
    assert function.notes() == []


async def test_parameter_named_q_gets_the_question(load: LoadFunction, ask: AskFunction) -> None:
    """A parameter named `q` gets the question although it is not the first; the first is an ordinary parameter."""
    function = await load("def answer(index, q): return index + q")
    assert (await ask(function, "hi", index=["a"])).text == "ahi"


async def test_positional_parameters(load: LoadFunction, ask: AskFunction) -> None:
    """Parameters without a keyword are passed by position."""
    function = await load("def answer(text, n: int, mark='!', /): return text * n + mark")
    assert (await ask(function, "a", n=["2"])).text == "aa!"


async def test_unknown_parameters(load: LoadFunction) -> None:
    """Unknown parameters are an error that lists all of them, with the most similar name or all names."""
    function = await load("def answer(text, lang='en', count=1): return text")
    with pytest.raises(BadQuestion) as caught:
        function.parse_parameters({"lnag": ["fr"], "zzz": ["1"]}, from_strings=True)
    assert caught.value.detail == (
        "`lnag` is not a parameter: did you mean `lang`? `zzz` is not a parameter: use `q`, `lang`, `count`."
    )
    assert [entry["parameter"] for entry in caught.value.extensions["errors"]] == ["lnag", "zzz"]
    assert not function.contract.allows_unknown_parameters


async def test_keyword_arguments(load: LoadFunction, ask: AskFunction) -> None:
    """A function with `**kwargs` gets unknown parameters, but not names that are reserved."""
    code = """
        import functools
        def say(text, key, _private=1, **more): return repr(more)
        answer = functools.partial(say, key="secret")
    """
    function = await load(code)
    assert (await ask(function, a=["1"], b=["2", "3"])).text == "{'a': '1', 'b': ['2', '3']}"
    assert function.contract.allows_unknown_parameters
    for name in ("key", "_private", "_other"):
        with pytest.raises(BadQuestion, match=f"`{name}` is not a parameter"):
            function.parse_parameters({name: ["mine"]}, from_strings=True)


async def test_all_faults_at_once(load: LoadFunction) -> None:
    """Missing, invalid and unknown parameters are reported together."""
    function = await load("def answer(text, a: int, b: int, c: list[int] = []): return text")
    with pytest.raises(BadQuestion) as caught:
        function.parse_parameters({"b": "x", "c": [1, "y", "z"], "d": 1}, from_strings=False)
    assert caught.value.extensions["errors"] == [
        {"parameter": "a", "detail": "`a` is missing."},
        {"parameter": "b", "detail": "`b`: expected `int`, got 'x'."},
        {"parameter": "c", "detail": "`c[1]`: expected `int`, got 'y'."},
        {"parameter": "c", "detail": "`c[2]`: expected `int`, got 'z'."},
        {"parameter": "d", "detail": "`d` is not a parameter: use `q`, `a`, `b`, `c`."},
    ]


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=3),
    st.sampled_from([int, float, bool, str, list[int], int | None]),
)
def test_any_text(values: list[str], value_type: Any) -> None:
    """Any query value is either converted or a BadQuestion that names the parameter."""
    parameter = ExtraParameter.create("x", create_converter(value_type), None, "")
    extensions = None
    try:
        value = ParameterParser([parameter], has_keywords=False, reserved_names=frozenset()).parse(
            {"x": values}, from_strings=True
        )["x"]
    except BadQuestion as error:
        extensions = {name: value for name, value in error.extensions.items() if name != "errors"}
    assert extensions == {"parameter": "x"} if extensions else msgspec.convert(value, value_type) == value
