"""Another askd's OpenAPI document, read back into the contract that it was made of."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.remote import contract
from service.models import Answer, Answerer, Contract, Parameter, Question
from service.settings import Settings
from service.web import openapi

COLOR = {"$ref": "#/$defs/Color", "$defs": {"Color": {"enum": ["red"]}}}
TREE = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "tree": {"$ref": "#/$defs/Tree"}},
    "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}},
}
TOLD = Contract(
    summary="Paints.",
    description="In many colours.",
    parameters=[
        Parameter(name="color", schema=COLOR, required=True, description="which"),
        Parameter(name="size", schema={"type": "integer", "default": 1}),
        Parameter(name="thread", schema={"type": "string"}),
    ],
    answer_schema=TREE,
    examples=("a house", "a tree"),
)


class Painter(Answerer):
    """An answerer that tells much of itself."""

    kind = "painter"
    name = "painter"
    streams = True
    contract = TOLD

    async def answer(self, question: Question) -> Answer:
        """Say it back."""
        return Answer(question.text)


def document(answerer: Answerer, told: Contract | None = None) -> Any:
    """The document of an answerer, as it comes over HTTP."""
    if told is not None:
        answerer.contract = told
    return json.loads(json.dumps(openapi.document(Settings(), answerer, max_length=100)))


def test_round_trip() -> None:
    """All of it comes back, and what is made of it again refers to nothing that is not there."""
    found = contract.contract_of(document(Painter()))
    assert (found.summary, found.description, list(found.examples)) == (
        "Paints.",
        "In many colours.",
        ["a house", "a tree"],
    )
    assert [(each.name, each.required, each.description) for each in found.parameters] == [
        ("color", True, "which"),
        ("size", False, ""),
        ("thread", False, ""),
    ]
    assert found.parameters[1].schema == {"type": "integer", "default": 1}
    again = document(Painter(), found)
    schemas = again["components"]["schemas"]
    referred = re.findall(r"#/components/schemas/([^\"]+)", json.dumps(again))
    assert set(referred) <= set(schemas)
    assert {"enum": ["red"]} in schemas.values()


def test_about() -> None:
    """What is served there, and whether it streams, are told beside the contract."""
    assert contract.about(document(Painter())) == ("painter", True)


@pytest.mark.parametrize("conversational", [False, True])
def test_threads(conversational: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A `thread` is askd's own only where the other remembers; else it is a parameter of the code."""
    painter = Painter()
    painter.conversational = conversational
    found = document(painter)
    assert contract.conversational(found) is conversational
    assert ("thread" in [each.name for each in contract.contract_of(found).parameters]) is not conversational


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PLACES = [
    ("paths",),
    ("paths", "/ask"),
    ("paths", "/ask", "get"),
    ("paths", "/ask", "get", "parameters"),
    ("components",),
    ("components", "schemas"),
    ("components", "schemas", "Answer"),
    ("info",),
    ("x-answerer",),
]


@given(JSON, st.sampled_from(PLACES))
def test_oddities(value: Any, place: tuple[str, ...]) -> None:
    """Whatever stands in the document's place, what can be read is, and nothing fails."""
    whole = document(Painter())
    at = whole
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    assert isinstance(contract.contract_of(whole), Contract)
    assert isinstance(contract.about(whole), tuple)
    assert contract.conversational(whole) in {False, True}
    assert isinstance(contract.contract_of(value), Contract)


def test_endless_schema() -> None:
    """A schema that is nested without end is cut, rather than followed."""
    deep: Any = {}
    for _ in range(500):
        deep = {"items": deep}
    whole = {"paths": {"/ask": {"get": {"parameters": [{"in": "query", "name": "a", "schema": deep}]}}}}
    assert len(json.dumps(contract.contract_of(whole).parameters[0].schema)) < 1000
