"""The OpenAPI document: valid, reproducible, and correct for all settings and answerers."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from askd import errors
from askd.api.openapi import problems
from askd.config import Settings
from askd.models import Answerer, Contract, Parameter
from tests.support.openapi_answerers import FullContractAnswerer, MinimalAnswerer, openapi_document


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for item in document["paths"].values() for name, part in item.items() if name in {"get", "post"}]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        references = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return references + [reference for inner in value.values() for reference in _references(inner)]
    return [reference for inner in value for reference in _references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("answerer", [None, MinimalAnswerer(), FullContractAnswerer()])
@pytest.mark.parametrize(
    "settings", [Settings(), Settings(prefix="/answers"), Settings(ops_port=9000), Settings(tokens_file="x")]
)
def test_valid(settings: Settings, answerer: Answerer | None) -> None:
    """The document passes an OpenAPI 3.1 validator for all settings and answerers."""
    OpenAPIV31SpecValidator(openapi_document(settings, answerer)).validate()


def test_references_resolve() -> None:
    """Every reference resolves, including those from `$defs` of the answerer."""
    document = openapi_document(answerer=FullContractAnswerer())
    assert _references(document)
    for reference in _references(document):
        target: Any = document
        for key in reference.removeprefix("#/").split("/"):
            target = target[key]
        assert target


@hypothesis_settings(max_examples=20)
@given(name=st.text(min_size=1).filter(lambda text: "/" not in text and "~" not in text))
def test_any_definition_name(name: str) -> None:
    """A definition gets a component name that OpenAPI allows."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": {name: {"type": "string"}}}
    answerer = MinimalAnswerer()
    answerer.contract = Contract(answer_schema=schema)
    OpenAPIV31SpecValidator(openapi_document(answerer=answerer)).validate()


def test_document_is_reproducible() -> None:
    """Two processes with different hash seeds produce the same bytes."""
    code = (
        "import json; from askd.config import Settings; from askd.api import openapi;"
        "print(json.dumps(openapi.build_document(Settings(), None, max_length=1000)))"
    )
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    first, second = (subprocess.check_output([sys.executable, "-c", code], env=seed) for seed in seeds)
    assert first == second


def test_operation_ids_are_stable() -> None:
    """Operation ids must not change, because clients are generated from them."""
    assert [operation["operationId"] for operation in _operations(openapi_document())] == [
        "ask",
        "askWithBody",
        "mcp",
        "createChatCompletion",
        "listModels",
        "home",
        "docs",
        "openapi",
        "metrics",
        "livez",
        "healthz",
        "readyz",
        "startupz",
    ]


def test_question_limits() -> None:
    """Query and body have the same limits for the question, which must not be blank."""
    document = openapi_document()
    query = document["paths"]["/ask"]["get"]["parameters"][0]
    body = document["components"]["schemas"]["Question"]["properties"]["q"]
    assert query["required"]
    assert query["schema"] == {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"}
    assert query["schema"].items() <= body.items()


def test_parameters() -> None:
    """Query and body have the contract's parameters."""
    document = openapi_document(answerer=FullContractAnswerer())
    query = {
        parameter["name"]: parameter
        for parameter in document["paths"]["/ask"]["get"]["parameters"]
        if "name" in parameter
    }
    question = document["components"]["schemas"]["Question"]
    assert list(query) == ["q", "words", "place", "tags", "rhymes"]
    assert query["words"]["description"] == "How many."
    assert list(question["properties"]) == ["q", "words", "place", "tags", "rhymes"]
    assert question["required"] == ["q", "place"]


def test_parameter_named_q_is_ignored() -> None:
    """A parameter that would shadow the question is left out."""
    answerer = MinimalAnswerer()
    answerer.contract = Contract(parameters=[Parameter(name="q", schema={"type": "integer"})])
    document = openapi_document(answerer=answerer)
    assert document["components"]["schemas"]["Question"]["properties"]["q"]["type"] == "string"


def test_examples() -> None:
    """Examples that would be rejected are left out."""
    query = openapi_document(answerer=FullContractAnswerer())["paths"]["/ask"]["get"]["parameters"][0]
    assert query["examples"] == {"example1": {"value": "a fox"}}


def test_answer_schema() -> None:
    """The answerer's schema is used; by default `answer` is a string."""
    answer = openapi_document(answerer=FullContractAnswerer())["components"]["schemas"]["Answer"]
    assert answer["properties"]["tree"] == {"$ref": "#/components/schemas/Answer.Node"}
    assert openapi_document()["components"]["schemas"]["Answer"]["required"] == ["answer"]


def test_etag_of_deterministic_answers() -> None:
    """304 and ETag are documented for deterministic answers only; the setting overrides the answerer."""
    assert "304" in openapi_document(answerer=FullContractAnswerer())["paths"]["/ask"]["get"]["responses"]
    assert (
        "304"
        not in openapi_document(Settings(deterministic=False), FullContractAnswerer())["paths"]["/ask"]["get"][
            "responses"
        ]
    )
    assert "304" not in openapi_document(answerer=FullContractAnswerer())["paths"]["/ask"]["post"]["responses"]


def test_body_problems_are_documented_for_post_only() -> None:
    """413 and 415 are documented for POST only."""
    item = openapi_document()["paths"]["/ask"]
    assert {"413", "415"} <= set(item["post"]["responses"])
    assert not {"413", "415"} & set(item["get"]["responses"])


def test_custom_status_is_documented_for_user_code_only() -> None:
    """Any 4xx is documented for user code, but not for a book."""
    assert "4XX" in openapi_document(answerer=FullContractAnswerer())["paths"]["/ask"]["get"]["responses"]
    assert "4XX" not in openapi_document(answerer=MinimalAnswerer())["paths"]["/ask"]["get"]["responses"]


def test_every_problem_is_listed() -> None:
    """Every error class is listed with its description."""
    catalog = {entry["code"]: entry for entry in openapi_document()["x-problems"]}
    roots = (errors.Problem, errors.AnswererFailed, errors.Unavailable)
    subclasses = [subclass for root in roots for subclass in root.__subclasses__()]
    assert {subclass.code for subclass in subclasses} == set(catalog)
    assert all(entry["meaning"] for entry in catalog.values())
    assert catalog["unavailable"]["retry"]
    assert catalog["refused"]["status"] == "4XX"


def test_operations_document_their_problems_only() -> None:
    """Operations refer only to problems that they can send."""
    document = openapi_document()
    codes = {
        operation["operationId"]: [
            code
            for response in operation["responses"].values()
            if "$ref" in response
            for code in document["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]["x-codes"]
        ]
        for operation in _operations(document)
    }
    assert codes["openapi"] == ["expectation-failed", "internal-error"]
    assert codes["readyz"] == ["expectation-failed", "internal-error", "unavailable"]
    assert {"no-answer", "answerer-failed", "internal-error", "unavailable"} <= set(codes["ask"])
    assert not {"not-found", "method-not-allowed"} & {
        code for operation_codes in codes.values() for code in operation_codes
    }


def test_retry_after_is_documented() -> None:
    """Responses of problems with `retry_after` have the header."""
    assert "Retry-After" in openapi_document()["components"]["responses"]["Unavailable"]["headers"]


def test_prefix() -> None:
    """The prefix is the server's URL, except for ops endpoints."""
    document = openapi_document(Settings(prefix="/answers"))
    assert document["servers"] == [{"url": "/answers"}]
    assert document["paths"]["/livez"]["servers"] == [{"url": "/"}]
    assert openapi_document()["servers"] == [{"url": "/"}]


def test_ops_port() -> None:
    """With an ops port, the ops endpoints are not in the document."""
    document = openapi_document(Settings(ops_port=0))
    formats = ["/ask", "/mcp", "/v1/chat/completions", "/v1/models"]
    assert list(document["paths"]) == [*formats, "/", "/docs", "/openapi.json"]
    assert "ops" not in [tag["name"] for tag in document["tags"]]


def test_formats() -> None:
    """Only the formats that are served are in the document."""
    document = openapi_document(Settings(formats=("mcp",), ops_port=0))
    assert list(document["paths"]) == ["/mcp", "/", "/docs", "/openapi.json"]
    assert [tag["name"] for tag in document["tags"]] == ["mcp", "about"]


def test_tokens() -> None:
    """Operations that require a token have 401 and the security scheme."""
    without_tokens = openapi_document()
    assert "securitySchemes" not in without_tokens["components"]
    assert not [
        operation
        for operation in _operations(without_tokens)
        if "security" in operation or "401" in operation["responses"]
    ]
    document = openapi_document(Settings(tokens_file="x"))
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    asking = ["ask", "askWithBody", "mcp", "createChatCompletion", "listModels"]
    assert _protected_operations(document) == asking
    with_docs = openapi_document(Settings(tokens_file="x", docs_require_token=True))
    assert _protected_operations(with_docs) == [*asking, "home", "docs", "openapi"]


def _protected_operations(document: dict[str, Any]) -> list[str]:
    protected = [
        operation["operationId"] for operation in _operations(document) if operation.get("security") == [{"bearer": []}]
    ]
    with_401 = [
        operation["operationId"]
        for operation in _operations(document)
        if {"401", "4XX"} & operation["responses"].keys()
    ]
    assert protected == with_401
    return protected


def test_directories_are_not_revealed() -> None:
    """The document does not contain the directory of the user's code."""
    assert "someone" not in json.dumps(openapi_document(answerer=FullContractAnswerer()))


def test_problem_description_without_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Python strips docstrings, a problem is described by its title."""
    monkeypatch.setattr(errors.NoAnswer, "__doc__", None)
    monkeypatch.setattr(errors.Problem, "__doc__", None)
    monkeypatch.setattr(errors.AskdError, "__doc__", None)
    assert problems.describe_problem(errors.NoAnswer)
