"""Comparison of two surfaces: breaking changes are found and named, additions are compatible."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.contract import breaking_changes, schema_diff

Q = {"name": "q", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 1000}}
ANSWER = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string"}}}
KIND = {"name": "kind", "in": "query", "schema": {"enum": ["short", "long"]}}
BODY = {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}}


def surface() -> dict[str, Any]:
    """Return a small surface with a setting, a metric and two operations."""
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


def find_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Compare two surfaces, in which the listed settings are the only ones."""
    return breaking_changes.find_breaking_changes(old, new, is_setting=lambda name: name in new["settings"])


def surface_with(path: str, value: Any) -> dict[str, Any]:
    """Return the surface with a new value at a path of keys, separated by spaces; None removes the key."""
    new = surface()
    *parents, last = (int(part) if part.isdigit() and part not in {"200", "404"} else part for part in path.split())
    container: Any = new
    for part in parents:
        container = container[part]
    if value is None:
        del container[last]
    else:
        container[last] = value
    return new


GET, POST = "openapi paths /ask get", "openapi paths /ask post"
CONTENT = f"{GET} responses 200 content"
PARAMETER, SCHEMA = "openapi components parameters Q", "openapi components schemas Answer"
IN_BODY = f"{POST} requestBody content application/json schema"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("settings", [], "the setting ASKD_PORT was removed"),
        ("metrics askd_x_total", None, "the metric askd_x_total was removed"),
        ("metrics askd_x_total type", "gauge", "changed from counter to gauge"),
        ("metrics askd_x_total labels", ["code"], "lost the label route"),
        ("openapi paths /ask", None, "GET /ask was removed"),
        (POST, None, "POST /ask was removed"),
        (f"{GET} operationId", "query", "changed its operationId"),
        (f"{GET} parameters 0", None, "the parameter q (query) was removed"),
        (f"{GET} parameters", [Q, KIND, Q | {"name": "lang"}], "the parameter lang (query) became required"),
        (f"{GET} parameters 1 required", True, "the parameter kind (query) became required"),
        (f"{GET} parameters 1 schema enum", ["short"], 'no longer accepts "long"'),
        (f"{GET} responses 200", None, "the response 200 was removed"),
        (f"{GET} responses 200 headers ETag", None, "200 lost the header ETag"),
        (f"{CONTENT} text/plain", None, "200 is no longer available as text/plain"),
        (f"{PARAMETER} schema maxLength", 999, "maxLength is 999, was 1000"),
        (f"{PARAMETER} schema minLength", 2, "minLength is 2, was 1"),
        (f"{PARAMETER} schema pattern", "^a", "a different pattern"),
        (f"{PARAMETER} schema type", "integer", "no longer accepts string"),
        (f"{SCHEMA} properties answer", None, "200.answer was removed"),
        (f"{SCHEMA} properties answer type", ["string", "null"], "200.answer may now be null"),
        (f"{SCHEMA} required", [], "200 may now lack answer"),
        (f"{POST} requestBody required", True, "a body became required"),
        (f"{POST} requestBody content", {}, "a body of application/json is no longer accepted"),
        (f"{IN_BODY} required", ["q", "n"], "now requires n"),
        (f"{IN_BODY} properties n type", "string", "no longer accepts integer"),
    ],
)
def test_breaking_change_is_named(path: str, value: Any, message: str) -> None:
    """Everything that is removed, or newly required of clients, is found and described."""
    assert any(message in line for line in find_changes(surface(), surface_with(path, value)))


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
def test_additions_are_compatible(path: str, value: Any) -> None:
    """New settings, metrics, routes, media types and fields are not breaking changes."""
    assert find_changes(surface(), surface_with(path, value)) == []


def test_recursive_schema_is_compared() -> None:
    """The comparison of a recursive schema ends."""
    node = {"properties": {"next": {"$ref": "#/node"}}}
    documents = schema_diff.Documents({"node": node}, {"node": node})
    assert list(schema_diff.response_schema_changes(documents, "node", node, node)) == []


TYPES = st.sets(st.sampled_from(["string", "integer", "number", "null", "array"]), min_size=1).map(sorted)


@given(TYPES, TYPES)
def test_requests_and_responses_are_opposites(one: list[str], other: list[str]) -> None:
    """A schema may replace another in a request if and only if that one may replace it in a response."""
    documents = schema_diff.Documents({}, {})
    restrictions = list(schema_diff.request_schema_changes(documents, "", {"type": one}, {"type": other}))
    losses = list(schema_diff.response_schema_changes(documents, "", {"type": other}, {"type": one}))
    assert bool(restrictions) == bool(losses)
