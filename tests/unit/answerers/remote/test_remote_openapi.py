"""Tests of parsing another askd's OpenAPI document back into a contract."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.remote import openapi as remote_openapi
from askd.api import openapi
from askd.config import Settings
from askd.models import Answer, Answerer, Contract, Parameter, Question

COLOR = {"$ref": "#/$defs/Color", "$defs": {"Color": {"enum": ["red"]}}}
TREE = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "tree": {"$ref": "#/$defs/Tree"}},
    "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}},
}
CONTRACT = Contract(
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


class PainterAnswerer(Answerer):
    """Answerer with a detailed contract."""

    kind = "painter"
    name = "painter"
    supports_streaming = True
    contract = CONTRACT

    async def answer(self, question: Question) -> Answer:
        """Echo the question."""
        return Answer(question.text)


def build_document(answerer: Answerer, contract: Contract | None = None) -> Any:
    """Return the OpenAPI document of an answerer, decoded from JSON."""
    if contract is not None:
        answerer.contract = contract
    return json.loads(json.dumps(openapi.build_document(Settings(), answerer, max_length=100)))


def test_round_trip() -> None:
    """The parsed contract equals the original, and a document built from it contains all components it refers to."""
    contract = remote_openapi.parse_contract(build_document(PainterAnswerer()))
    assert (contract.summary, contract.description, list(contract.examples)) == (
        "Paints.",
        "In many colours.",
        ["a house", "a tree"],
    )
    assert [(parameter.name, parameter.required, parameter.description) for parameter in contract.parameters] == [
        ("color", True, "which"),
        ("size", False, ""),
        ("thread", False, ""),
    ]
    assert contract.parameters[1].schema == {"type": "integer", "default": 1}
    rebuilt = build_document(PainterAnswerer(), contract)
    schemas = rebuilt["components"]["schemas"]
    references = re.findall(r"#/components/schemas/([^\"]+)", json.dumps(rebuilt))
    assert set(references) <= set(schemas)
    assert {"enum": ["red"]} in schemas.values()


def test_title_and_streaming() -> None:
    """The document has the title, and whether the answerer supports streaming."""
    assert remote_openapi.parse_title_and_streaming(build_document(PainterAnswerer())) == ("painter", True)


@pytest.mark.parametrize("supports_threads", [False, True])
def test_threads(supports_threads: bool) -> None:  # noqa: FBT001 - test parameter
    """`thread` is a built-in parameter if the answerer supports threads, else a parameter of the answerer."""
    painter = PainterAnswerer()
    painter.supports_threads = supports_threads
    spec = build_document(painter)
    assert remote_openapi.supports_threads(spec) is supports_threads
    names = [parameter.name for parameter in remote_openapi.parse_contract(spec).parameters]
    assert ("thread" in names) is not supports_threads


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PATHS = [
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


@given(JSON_VALUES, st.sampled_from(PATHS))
def test_invalid_documents(value: Any, path: tuple[str, ...]) -> None:
    """Invalid parts of a document are ignored."""
    spec = build_document(PainterAnswerer())
    parent = spec
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    assert isinstance(remote_openapi.parse_contract(spec), Contract)
    assert isinstance(remote_openapi.parse_title_and_streaming(spec), tuple)
    assert remote_openapi.supports_threads(spec) in {False, True}
    assert isinstance(remote_openapi.parse_contract(value), Contract)


def test_deeply_nested_schema() -> None:
    """A schema is cut off at the maximum depth."""
    schema: Any = {}
    for _ in range(500):
        schema = {"items": schema}
    spec = {"paths": {"/ask": {"get": {"parameters": [{"in": "query", "name": "a", "schema": schema}]}}}}
    assert len(json.dumps(remote_openapi.parse_contract(spec).parameters[0].schema)) < 1000
