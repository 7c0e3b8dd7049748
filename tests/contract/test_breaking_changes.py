"""The comparison itself: each kind of break is found and named, and growth is none."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import breaks, schemas

Q = {"name": "q", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 1000}}
ANSWER = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string"}}}
KIND = {"name": "kind", "in": "query", "schema": {"enum": ["short", "long"]}}
BODY = {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}}


def surface() -> dict[str, Any]:
    """Make a small surface with something of each kind."""
    json = "application/json"
    ok = {
        "headers": {"ETag": {}},
        "content": {json: {"schema": {"$ref": "#/components/schemas/Answer"}}, "text/plain": {}},
    }
    get = {"operationId": "ask", "parameters": [{"$ref": "#/components/parameters/Q"}, KIND], "responses": {"200": ok}}
    post = {"operationId": "askPost", "requestBody": {"content": {json: {"schema": BODY}}}, "responses": {"404": {}}}
    document = {
        "paths": {"/ask": {"get": get, "post": post}},
        "components": {"schemas": {"Answer": ANSWER}, "parameters": {"Q": Q}},
    }
    metric = {"type": "counter", "labels": ["code", "route"]}
    return copy.deepcopy({"settings": ["ASKD_PORT"], "metrics": {"askd_x_total": metric}, "openapi": document})


def found(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Compare two surfaces, where a setting is what is listed."""
    return breaks.find(old, new, is_setting=lambda name: name in new["settings"])


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the surface with the value at a path of keys, separated by blanks, replaced; None removes it."""
    new = surface()
    *way, last = (int(part) if part.isdigit() and part not in {"200", "404"} else part for part in path.split())
    place: Any = new
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return new


GET, POST = "openapi paths /ask get", "openapi paths /ask post"
CONTENT = f"{GET} responses 200 content"
PARAMETER, SCHEMA = "openapi components parameters Q", "openapi components schemas Answer"
IN_BODY = f"{POST} requestBody content application/json schema"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("settings", [], "the setting ASKD_PORT is gone"),
        ("metrics askd_x_total", None, "the metric askd_x_total is gone"),
        ("metrics askd_x_total type", "gauge", "was a counter and is a gauge"),
        ("metrics askd_x_total labels", ["code"], "has lost the label route"),
        ("openapi paths /ask", None, "GET /ask is gone"),
        (POST, None, "POST /ask is gone"),
        (f"{GET} operationId", "query", "another operationId"),
        (f"{GET} parameters 0", None, "the parameter q (query) is gone"),
        (f"{GET} parameters", [Q, KIND, Q | {"name": "lang"}], "the parameter lang (query) is required now"),
        (f"{GET} parameters 1 required", True, "the parameter kind (query) is required now"),
        (f"{GET} parameters 1 schema enum", ["short"], 'no longer takes "long"'),
        (f"{GET} responses 200", None, "the response 200 is gone"),
        (f"{GET} responses 200 headers ETag", None, "200 has lost the header ETag"),
        (f"{CONTENT} text/plain", None, "200 no longer comes as text/plain"),
        (f"{PARAMETER} schema maxLength", 999, "maxLength is 999, was 1000"),
        (f"{PARAMETER} schema minLength", 2, "minLength is 2, was 1"),
        (f"{PARAMETER} schema pattern", "^a", "another pattern"),
        (f"{PARAMETER} schema type", "integer", "no longer takes string"),
        (f"{SCHEMA} properties answer", None, "200.answer is gone"),
        (f"{SCHEMA} properties answer type", ["string", "null"], "200.answer may be null now"),
        (f"{SCHEMA} required", [], "200 may lack answer now"),
        (f"{POST} requestBody required", True, "a body is required now"),
        (f"{POST} requestBody content", {}, "a body of application/json is no longer taken"),
        (f"{IN_BODY} required", ["q", "n"], "needs n now"),
        (f"{IN_BODY} properties n type", "string", "no longer takes integer"),
    ],
)
def test_a_break_is_named(path: str, value: Any, said: str) -> None:
    """Whatever is taken from users, or asked of them anew, is found and said."""
    assert any(said in line for line in found(surface(), changed(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("settings", ["ASKD_PORT", "ASKD_HOST"]),
        ("metrics askd_y", {"type": "gauge", "labels": []}),
        ("metrics askd_x_total labels", ["code", "route", "tenant"]),
        ("openapi paths /new", {"get": {}}),
        (f"{GET} parameters", [Q, KIND, Q | {"name": "lang", "required": False}]),
        (f"{GET} parameters 1 schema enum", ["short", "long", "both"]),
        (f"{GET} responses 503", {}),
        (f"{CONTENT} text/html", {}),
        (f"{PARAMETER} schema maxLength", 2000),
        (f"{PARAMETER} schema maxLength", None),
        (f"{PARAMETER} schema type", ["string", "integer"]),
        (f"{SCHEMA} properties source", {"type": "string"}),
        (f"{SCHEMA} required", ["answer", "source"]),
        (f"{IN_BODY} required", []),
        (f"{IN_BODY} properties n type", "number"),
        (f"{IN_BODY} properties n type", None),
    ],
)
def test_growth_is_no_break(path: str, value: Any) -> None:
    """More settings, metrics, routes, forms and fields are what a minor release is for."""
    assert found(surface(), changed(path, value)) == []


def test_a_schema_that_holds_itself_is_compared() -> None:
    """References that lead in a circle end the comparison rather than the test."""
    node = {"properties": {"next": {"$ref": "#/node"}}}
    documents = schemas.Documents({"node": node}, {"node": node})
    assert list(schemas.given_back(documents, "node", node, node)) == []


TYPES = st.sets(st.sampled_from(["string", "integer", "number", "null", "array"]), min_size=1).map(sorted)


@given(TYPES, TYPES)
def test_taking_and_giving_are_opposites(one: list[str], other: list[str]) -> None:
    """A schema may replace another in a request exactly where that may replace it in a response."""
    documents = schemas.Documents({}, {})
    takes = list(schemas.taken(documents, "", {"type": one}, {"type": other}))
    gives = list(schemas.given_back(documents, "", {"type": other}, {"type": one}))
    assert bool(takes) == bool(gives)
