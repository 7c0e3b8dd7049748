"""Parameters beside the text: what they are filled with, what the contract shows, what is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.function.parameters import Beside
from service.errors import BadQuestion, LoadError
from service.models import Question
from tests.answerers.function.user_code import Ask, Load

RICH = '''
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


async def test_defaults(load: Load, ask: Ask) -> None:
    """What the client leaves out has the function's own default, so that both ways are the same question."""
    function = await load(RICH)
    bound = function.bind({}, textual=True)
    assert list(bound) == ["lang", "count", "share", "loud", "form", "tone", "tags", "near", "old", "plain"]
    assert bound == function.bind({"lang": ["en"], "count": ["1"], "tone": ["dry"]}, textual=True)
    assert (await ask(function)).text == repr(("en", 1, 0.5, False, "short", bound["tone"], [], None, None, 3))


async def test_from_query(load: Load, ask: Ask) -> None:
    """Text from a query becomes what the annotations say; unknown names are left out."""
    function = await load(RICH)
    given = dict(count=["2"], share=["1"], loud=["true"], form=["long"], tone=["warm"], tags=["a", "b"], near=["5"])
    bound = function.bind({**given, "utm_source": ["x"], "_cache": ["x"]}, textual=True)
    assert bound["tone"].value == "warm"
    assert {**bound, "tone": 0} == dict(
        lang="en", count=2, share=1.0, loud=True, form="long", tone=0, tags=["a", "b"], near=5, old=None, plain=3
    )


async def test_from_json(load: Load) -> None:
    """JSON values must have the type themselves: a number in quotes is no number."""
    function = await load(RICH)
    assert function.bind({"count": 2, "near": None, "tags": ["a"]}, textual=False)["count"] == 2
    with pytest.raises(BadQuestion) as caught:
        function.bind({"count": "2"}, textual=False)
    assert caught.value.members == {"parameter": "count"}
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
async def test_faulty(load: Load, name: str, values: list[str], detail: str) -> None:
    """A faulty value is refused with its name and what is expected."""
    function = await load(RICH)
    with pytest.raises(BadQuestion) as caught:
        function.bind({name: values}, textual=True)
    assert (caught.value.members, caught.value.detail) == ({"parameter": name}, detail)


@pytest.mark.parametrize("kind", ["float", "list[float]"])
@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
async def test_not_finite(load: Load, kind: str, text: str) -> None:
    """Numbers that JSON does not have are refused from a query as well."""
    function = await load(f"def answer(text, x: {kind}): return text")
    with pytest.raises(BadQuestion, match="expected a finite number"):
        function.bind({"x": [text]}, textual=True)


async def test_required(load: Load, ask: Ask) -> None:
    """A parameter without a default must be given; without an annotation it is text."""
    function = await load("def answer(text, lang, *, count: int): return lang * count")
    assert (await ask(function, lang=["e"], count=["3"])).text == "eee"
    with pytest.raises(BadQuestion, match=r"`count` is missing\.") as caught:
        function.bind({"lang": ["e"]}, textual=True)
    assert caught.value.members == {"parameter": "count"}


async def test_item_of_list(load: Load) -> None:
    """A faulty item of a list is named by its place."""
    function = await load("def answer(text, n: list[int] = ()): return repr(n)")
    assert function.bind({"n": ["1", "2"]}, textual=True) == {"n": [1, 2]}
    with pytest.raises(BadQuestion, match="`n`: expected `int`, got `str`, item 1"):
        function.bind({"n": ["1", "x"]}, textual=True)


async def test_contract(load: Load) -> None:
    """The contract shows text, defaults, requirements and descriptions, in JSON Schema without references."""
    contract = (await load(RICH)).contract
    shown = {each.name: each for each in contract.parameters}
    assert (contract.summary, contract.description) == ("Say it.", "As often as needed.")
    assert (shown["lang"].description, shown["count"].description) == ("the language of the answer", "how often")
    assert shown["lang"].schema == {"type": "string", "default": "en"}
    assert shown["tone"].schema == {"title": "Tone", "enum": ["dry", "warm"], "default": "dry"}
    assert shown["tags"].schema == {"type": "array", "items": {"type": "string"}, "default": []}
    assert shown["share"].schema == {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}
    assert shown["near"].schema == {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}
    assert not any(each.required for each in contract.parameters)
    assert not {"text", "_cache", "rest", "more"} & set(shown)


async def test_contract_without_docstring(load: Load) -> None:
    """Code that says nothing of itself has askd's own summary."""
    assert (await load("def answer(text): return text")).contract.summary == "Answers a question."


async def test_docstring_of_object(load: Load) -> None:
    """A callable object is described by its `__call__`, else by its class."""
    code = """
        class Code:
            "Of the class."
            def __call__(self, text): return text
        answer = Code()
    """
    assert (await load(code)).contract.summary == "Of the class."


async def test_partial_keeps_its_keywords(load: Load, ask: Ask) -> None:
    """What a partial has filled belongs to its author: no client sees or sets it."""
    code = """
        import functools
        def say(text, key: str, lang: str = "en"): return f"{text} {key} {lang}"
        answer = functools.partial(say, key="secret")
    """
    function = await load(code)
    assert [each.name for each in function.contract.parameters] == ["lang"]
    assert (await ask(function, "hi", key=["mine"], lang=["fr"])).text == "hi secret fr"


QUESTIONS = {
    "by class": "from service.models import Question\ndef answer(it: Question): return it.text + it.id",
    "by class, quoted": "from service.models import Question\ndef answer(it: 'Question'): return it.text + it.id",
    "for type checkers only": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from service import models
        def answer(it: models.Question): return it.text + it.id
    """,
    "by name beside the text": "def answer(text, question): return text + question.id",
    "by class beside the text": (
        "from service.models import Question\ndef answer(text, *, it: Question): return text + it.id"
    ),
}


@pytest.mark.parametrize("code", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_takes_question(load: Load, code: str) -> None:
    """A parameter that is annotated or named so gets the Question, and is no parameter of the request."""
    function = await load(code)
    assert function.contract.parameters == []
    assert (await function.answer(Question(text="hi ", id="7"))).text == "hi 7"


@pytest.mark.parametrize(
    "code", ["def answer(question): return question", "def answer(question: str): return question"]
)
async def test_first_called_question_is_text(load: Load, ask: Ask, code: str) -> None:
    """The first parameter gets the text also where it is called `question`."""
    assert (await ask(await load(code), "hi")).text == "hi"


async def test_question_annotated_str_is_a_parameter(load: Load) -> None:
    """Beside the text, an annotation other than Question wins over the name."""
    function = await load("def answer(text, question: str = 'x'): return question")
    assert [each.name for each in function.contract.parameters] == ["question"]


REFUSED = {
    "mapping": ("x: dict", "`x` is dict, which a request cannot carry: use str, int"),
    "own class": ("x: Exception", "`x` is Exception, which a request cannot carry"),
    "unguessable default": ("x=()", "`x` is tuple, which a request cannot carry"),
    "list of lists": ("x: list[list[int]]", "`x` is list, which"),
    "nothing at run time": ("x: 'Nowhere'", "the annotation of `x`, Nowhere, names nothing at run time"),
    "q": ("q: str = ''", "`q` is the name of the question itself"),
    "positional": ("x: str, /", "`x` cannot be passed by name: remove the `/`"),
}


@pytest.mark.parametrize(("parameter", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused_parameter(load: Load, parameter: str, message: str) -> None:
    """A parameter that no request can fill is refused at load, by name."""
    with pytest.raises(LoadError) as caught:
        await load(f"def answer(text, {parameter}): return text")
    assert message.replace("is list,", "is list") in str(caught.value).replace("list[list[int]],", "list")


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=3),
    st.sampled_from([int, float, bool, str, list[int], int | None]),
)
def test_any_text_is_read_or_refused(values: list[str], kind: Any) -> None:
    """Whatever a query holds, it is either a value of the type or a BadQuestion that names the parameter."""
    each = Beside.made("x", kind, None, "")
    refused = None
    try:
        value = each.read(values, textual=True)
    except BadQuestion as fault:
        refused = fault.members
    assert refused == {"parameter": "x"} if refused else msgspec.convert(value, kind) == value
