"""Structured parameters: dataclasses, TypedDict, msgspec, attrs and pydantic classes, and constraints."""

from typing import Any

import pytest

from askd.errors import BadQuestion
from askd.models import Question
from tests.support.user_function_fixtures import LoadFunction

CLASSES = {
    "dataclass": """
        import dataclasses
        @dataclasses.dataclass
        class Item:
            n: int
        @dataclasses.dataclass
        class Order:
            query: str
            items: list[Item]
            note: str = ""
    """,
    "typed dictionary": """
        from typing import NotRequired, TypedDict
        class Item(TypedDict):
            n: int
        class Order(TypedDict):
            query: str
            items: list[Item]
            note: NotRequired[str]
    """,
    "msgspec": """
        import msgspec
        class Item(msgspec.Struct):
            n: int
        class Order(msgspec.Struct):
            query: str
            items: list[Item]
            note: str = ""
    """,
    "attrs": """
        import attrs
        @attrs.define
        class Item:
            n: int
        @attrs.define
        class Order:
            query: str
            items: list[Item]
            note: str = ""
    """,
    "pydantic": """
        import pydantic
        class Item(pydantic.BaseModel):
            n: int
        class Order(pydantic.BaseModel):
            query: str
            items: list[Item]
            note: str = ""
    """,
    "pydantic in a dataclass": """
        import dataclasses, pydantic
        class Item(pydantic.BaseModel):
            n: int
        @dataclasses.dataclass
        class Order:
            query: str
            items: list[Item]
            note: str = ""
    """,
}
FUNCTIONS = """
        def get(value, name): return value[name] if isinstance(value, dict) else getattr(value, name)
        def show(order): return [get(order, "query"), [get(item, "n") for item in get(order, "items")]]
        def answer(order: Order): return show(order)
        def later(text, order: Order): return show(order)
        def optional(text, order: Order | None = None): return order and show(order)
"""
classes = pytest.mark.parametrize("code", [code + FUNCTIONS for code in CLASSES.values()], ids=CLASSES.keys())


async def answer(function: Any, values: dict[str, Any], *, from_strings: bool = False) -> Any:
    """Return the JSON value of the answer to a question with these parameters."""
    parameters = function.parse_parameters(values, from_strings=from_strings)
    return (await function.answer(Question(text="", parameters=parameters))).value


def errors(function: Any, values: dict[str, Any], *, from_strings: bool = False) -> list[tuple[str, str]]:
    """Return the name and the text of each fault in the parameters."""
    with pytest.raises(BadQuestion) as caught:
        function.parse_parameters(values, from_strings=from_strings)
    only = [{"parameter": caught.value.extensions["parameter"], "detail": caught.value.detail}]
    return [(entry["parameter"], entry["detail"]) for entry in caught.value.extensions.get("errors", only)]


@classes
async def test_first_parameter(load: LoadFunction, code: str) -> None:
    """The fields of a model that is the first parameter are the parameters; its text field is the question."""
    function = await load(code)
    assert await answer(function, {"query": "hi", "items": [{"n": 1}]}) == ["hi", [1]]
    assert await answer(function, {"query": ["hi"], "items": ['[{"n": 1}]']}, from_strings=True) == ["hi", [1]]
    assert await answer(function, {"order": {"query": "hi", "items": []}}) == ["hi", []]
    assert (function.contract.question.name, function.contract.question.required) == ("query", True)
    assert [(entry.name, entry.required) for entry in function.contract.parameters] == [
        ("items", True),
        ("note", False),
    ]


@classes
async def test_later_parameter(load: LoadFunction, code: str) -> None:
    """A model that is a later parameter is an object in the JSON body, or JSON in a query."""
    function = await load(code, "later")
    assert await answer(function, {"order": {"query": "hi", "items": [{"n": 1}, {"n": 2}]}}) == ["hi", [1, 2]]
    assert await answer(function, {"order": ['{"query": "hi", "items": []}']}, from_strings=True) == ["hi", []]
    schema = function.contract.parameters[0].schema
    assert schema["properties"]["items"]["items"]["properties"]["n"]["type"] == "integer"
    assert sorted(schema["required"]) == ["items", "query"]


@classes
async def test_all_faults(load: LoadFunction, code: str) -> None:
    """Every fault inside a model is reported with its path."""
    function = await load(code, "later")
    found = errors(function, {"order": {"items": [{"n": 1}, {"n": "x"}, {}]}})
    assert [name for name, _ in found] == ["order"] * 3
    assert sorted(detail.partition(":")[0] for _, detail in found) == [
        "`order.items[1].n`",
        "`order.items[2].n` is missing.",
        "`order.query` is missing.",
    ]


@classes
async def test_optional_model(load: LoadFunction, code: str) -> None:
    """A fault in an optional model has its path, too."""
    function = await load(code, "optional")
    assert function.parse_parameters({}, from_strings=False) == {"order": None}
    paths = {
        detail.partition("`: ")[0] for _, detail in errors(function, {"order": {"query": "x", "items": [{"n": "y"}]}})
    }
    assert any(path.endswith("items[0].n") for path in paths)


async def test_fault_in_query(load: LoadFunction) -> None:
    """Text in a query that is not JSON is a fault."""
    function = await load(CLASSES["dataclass"] + FUNCTIONS, "later")
    assert errors(function, {"order": ["{"]}, from_strings=True)[0][1].startswith("`order`: invalid JSON: ")
    assert errors(function, {"order": ["x"]}, from_strings=True) == [("order", "`order`: expected `object`, got 'x'.")]


CONSTRAINTS = {
    "pydantic Field": ("import pydantic", "n: Annotated[int, pydantic.Field(ge=1, description='How many.')] = 2"),
    "pydantic Field as the default": ("import pydantic", "n: int = pydantic.Field(2, ge=1, description='How many.')"),
    "annotated_types": ("import annotated_types", "n: Annotated[int, annotated_types.Ge(1), 'How many.'] = 2"),
    "msgspec": ("import msgspec", "n: Annotated[int, msgspec.Meta(ge=1, description='How many.')] = 2"),
    "pydantic type": ("import pydantic", "n: Annotated[pydantic.PositiveInt, 'How many.'] = 2"),
}


@pytest.mark.parametrize(("module", "parameter"), CONSTRAINTS.values(), ids=CONSTRAINTS.keys())
async def test_constraint(load: LoadFunction, module: str, parameter: str) -> None:
    """Constraints hold, and are in the contract with their description."""
    function = await load(f"from typing import Annotated\n{module}\ndef answer(text, {parameter}): return [n]")
    assert await answer(function, {}) == [2]
    assert await answer(function, {"n": ["3"]}, from_strings=True) == [3]
    [(name, detail)] = errors(function, {"n": 0})
    assert (name, detail.partition(":")[0]) == ("n", "`n`")
    [entry] = function.contract.parameters
    assert (entry.schema["default"], entry.description, entry.required) == (2, "How many.", False)
    assert "minimum" in entry.schema or "exclusiveMinimum" in entry.schema


async def test_required_field_default(load: LoadFunction) -> None:
    """A parameter whose default is `Field(...)` is required."""
    function = await load("import pydantic\ndef answer(text, n: int = pydantic.Field(..., ge=1)): return n")
    assert errors(function, {}) == [("n", "`n` is missing.")]


async def test_constraint_of_the_first_parameter(load: LoadFunction) -> None:
    """A number that is the question is validated like other parameters."""
    function = await load("import pydantic\ndef answer(n: int = pydantic.Field(ge=1)): return [n]")
    assert await answer(function, {"n": 2}) == [2]
    assert errors(function, {"n": 0})[0][0] == "n"


async def test_constraint_of_the_text(load: LoadFunction) -> None:
    """Constraints of a text that is the question hold, too."""
    function = await load(
        "from typing import Annotated\nimport pydantic\n"
        "def answer(text: Annotated[str, pydantic.Field(max_length=3)]): return text"
    )
    assert function.parse_parameters({"text": ["abc"]}, from_strings=True) == {"text": "abc"}
    assert errors(function, {"text": "abcd"})[0][0] == "text"


async def test_repeated_field_of_a_query(load: LoadFunction) -> None:
    """The error for a field that is sent several times names the field rather than the model."""
    code = """
        import dataclasses
        @dataclasses.dataclass
        class Order:
            text: str
            count: int = 1
        def answer(order: Order): return order.text
    """
    with pytest.raises(BadQuestion) as caught:
        (await load(code)).parse_parameters({"text": ["x"], "count": ["1", "2", "3"]}, from_strings=True)
    assert caught.value.extensions == {"parameter": "count"}
    assert caught.value.detail == "`count` is given 3 times: give it once."


async def test_validator_of_the_model(load: LoadFunction) -> None:
    """A ValueError of the user's validator is a fault with its text."""
    code = """
        import pydantic
        class Order(pydantic.BaseModel):
            text: str
            @pydantic.field_validator("text")
            @classmethod
            def check(cls, value):
                raise ValueError("too rude")
        def answer(order: Order): return order.text
    """
    assert errors(await load(code), {"text": "x"}) == [("text", "`text`: value error, too rude, got 'x'.")]


@pytest.mark.parametrize(
    ("fields", "text_field"),
    [
        ("question: str, lang: str", "question"),
        ("history: list[str], anything: str", "anything"),
        ("first: str, last: str", None),
        ("city: str, lang: str = 'en'", "city"),
        ("n: int", None),
    ],
)
async def test_text_field(load: LoadFunction, fields: str, text_field: str | None) -> None:
    """The question is the only required text field, or one with a usual name."""
    names = "\n".join(f"    {field.strip()}" for field in fields.split(", "))
    code = f"import dataclasses\n@dataclasses.dataclass\nclass Ask:\n{names}\ndef answer(ask: Ask): return ask"
    assert (await load(code)).contract.question.name == (text_field or "ask")
