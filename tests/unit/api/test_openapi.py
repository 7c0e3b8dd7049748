"""The contract: it is valid, tells the truth about what may happen, and is the same in every process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from service import errors
from service.models import Answerer, Contract, Parameter
from service.settings import Settings
from service.web.openapi import problems
from tests.web.page_fakes import Book, Storyteller, contract


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for item in document["paths"].values() for name, part in item.items() if name in {"get", "post"}]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in _references(inner)]
    return [found for inner in value for found in _references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("answerer", [None, Book(), Storyteller()])
@pytest.mark.parametrize(
    "settings", [Settings(), Settings(prefix="/answers"), Settings(ops_port=9000), Settings(tokens_file="x")]
)
def test_valid(settings: Settings, answerer: Answerer | None) -> None:
    """The document passes an OpenAPI 3.1 validator, whatever the answerer and the settings."""
    OpenAPIV31SpecValidator(contract(settings, answerer)).validate()


def test_references_lead_somewhere() -> None:
    """Each reference names a part of the document, also those that came from the answerer's own `$defs`."""
    document = contract(answerer=Storyteller())
    assert _references(document)
    for reference in _references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


@settings_of(max_examples=20, deadline=None)
@given(name=st.text(min_size=1).filter(lambda text: "/" not in text and "~" not in text))
def test_definitions_of_any_name(name: str) -> None:
    """A definition is found again under a name that OpenAPI allows, whatever its own name is."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": {name: {"type": "string"}}}
    answerer = Book()
    answerer.contract = Contract(answer_schema=schema)
    OpenAPIV31SpecValidator(contract(answerer=answerer)).validate()


def test_same_bytes_in_every_process() -> None:
    """Two processes with different hash seeds make the same bytes."""
    code = (
        "import json; from service.settings import Settings; from service.web import openapi;"
        "print(json.dumps(openapi.document(Settings(), None, max_length=1000)))"
    )
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    first, second = (subprocess.check_output([sys.executable, "-c", code], env=seed) for seed in seeds)
    assert first == second


def test_operation_ids_are_stable() -> None:
    """Clients are generated from operationIds: these never change."""
    assert [one["operationId"] for one in _operations(contract())] == [
        "ask",
        "askWithBody",
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
    """The text's limits stand in the query and in the body, and a blank text is against the schema."""
    document = contract()
    query = document["paths"]["/ask"]["get"]["parameters"][0]
    body = document["components"]["schemas"]["Question"]["properties"]["q"]
    assert query["required"]
    assert query["schema"] == {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"}
    assert query["schema"].items() <= body.items()


def test_parameters() -> None:
    """The contract's parameters are in the query and in the body, the required ones marked."""
    document = contract(answerer=Storyteller())
    query = {one["name"]: one for one in document["paths"]["/ask"]["get"]["parameters"] if "name" in one}
    question = document["components"]["schemas"]["Question"]
    assert list(query) == ["q", "words", "place", "tags", "rhymes"]
    assert query["words"]["description"] == "How many."
    assert list(question["properties"]) == ["q", "words", "place", "tags", "rhymes"]
    assert question["required"] == ["q", "place"]


def test_parameter_called_q() -> None:
    """A parameter that would hide the question is left out."""
    answerer = Book()
    answerer.contract = Contract(parameters=[Parameter(name="q", schema={"type": "integer"})])
    document = contract(answerer=answerer)
    assert document["components"]["schemas"]["Question"]["properties"]["q"]["type"] == "string"


def test_examples() -> None:
    """Examples come from the contract; those that would be refused are left out."""
    query = contract(answerer=Storyteller())["paths"]["/ask"]["get"]["parameters"][0]
    assert query["examples"] == {"example1": {"value": "a fox"}}


def test_answer_schema() -> None:
    """The answer is described as the answerer says; without a word from it, `answer` is a string."""
    answer = contract(answerer=Storyteller())["components"]["schemas"]["Answer"]
    assert answer["properties"]["tree"] == {"$ref": "#/components/schemas/Answer.Node"}
    assert contract()["components"]["schemas"]["Answer"]["required"] == ["answer"]


def test_deterministic() -> None:
    """304 and ETag are promised for deterministic answers only, and the setting outranks the answerer."""
    assert "304" in contract(answerer=Storyteller())["paths"]["/ask"]["get"]["responses"]
    assert "304" not in contract(Settings(deterministic=False), Storyteller())["paths"]["/ask"]["get"]["responses"]
    assert "304" not in contract(answerer=Storyteller())["paths"]["/ask"]["post"]["responses"]


def test_body_problems_need_a_body() -> None:
    """413 and 415 belong to POST alone."""
    item = contract()["paths"]["/ask"]
    assert {"413", "415"} <= set(item["post"]["responses"])
    assert not {"413", "415"} & set(item["get"]["responses"])


def test_only_code_refuses() -> None:
    """Any 4xx is documented for code, which may refuse with one, and not for a book."""
    assert "4XX" in contract(answerer=Storyteller())["paths"]["/ask"]["get"]["responses"]
    assert "4XX" not in contract(answerer=Book())["paths"]["/ask"]["get"]["responses"]


def test_every_problem_is_listed() -> None:
    """Each class of the error tree is listed, with a meaning, and a new one documents itself."""
    listed = {one["code"]: one for one in contract()["x-problems"]}
    below = (errors.Problem, errors.AnswererFailed, errors.Unavailable)
    kinds = [kind for root in below for kind in root.__subclasses__()]
    assert {kind.code for kind in kinds} == set(listed)
    assert all(one["meaning"] for one in listed.values())
    assert listed["unavailable"]["retry"]
    assert listed["refused"]["status"] == "4XX"


def test_problem_responses_are_truthful() -> None:
    """An operation refers to those problems alone that it can have."""
    document = contract()
    codes = {
        one["operationId"]: [
            code
            for response in one["responses"].values()
            if "$ref" in response
            for code in document["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]["x-codes"]
        ]
        for one in _operations(document)
    }
    assert codes["openapi"] == ["expectation-failed", "internal-error"]
    assert codes["readyz"] == ["expectation-failed", "internal-error", "unavailable"]
    assert {"no-answer", "answerer-failed", "internal-error", "unavailable"} <= set(codes["ask"])
    assert not {"not-found", "method-not-allowed"} & {code for found in codes.values() for code in found}


def test_retry_after_is_documented() -> None:
    """A problem that says when to come again has the header in the contract."""
    assert "Retry-After" in contract()["components"]["responses"]["Unavailable"]["headers"]


def test_prefix() -> None:
    """The prefix is the server's address, except for ops endpoints, which are never below it."""
    document = contract(Settings(prefix="/answers"))
    assert document["servers"] == [{"url": "/answers"}]
    assert document["paths"]["/livez"]["servers"] == [{"url": "/"}]
    assert contract()["servers"] == [{"url": "/"}]


def test_ops_port() -> None:
    """Ops endpoints on a port of their own are not in the contract of this one."""
    document = contract(Settings(ops_port=0))
    assert list(document["paths"]) == ["/ask", "/", "/docs", "/openapi.json"]
    assert "ops" not in [tag["name"] for tag in document["tags"]]


def test_tokens() -> None:
    """A token is asked for where it is wanted, and nowhere else: there is 401 in the contract, and the scheme."""
    none = contract()
    assert "securitySchemes" not in none["components"]
    assert not [one for one in _operations(none) if "security" in one or "401" in one["responses"]]
    document = contract(Settings(tokens_file="x"))
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert _guarded(document) == ["ask", "askWithBody"]
    more = contract(Settings(tokens_file="x", docs_need_token=True))
    assert _guarded(more) == ["ask", "askWithBody", "home", "docs", "openapi"]


def _guarded(document: dict[str, Any]) -> list[str]:
    asking = [one["operationId"] for one in _operations(document) if one.get("security") == [{"bearer": []}]]
    assert asking == [one["operationId"] for one in _operations(document) if "401" in one["responses"]]
    return asking


def test_no_folder_leaks() -> None:
    """Where on the disk the code lives is not told to clients."""
    assert "someone" not in json.dumps(contract(answerer=Storyteller()))


def test_meaning_without_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python drops docstrings, a problem still says something."""
    monkeypatch.setattr(errors.NoAnswer, "__doc__", None)
    monkeypatch.setattr(errors.Problem, "__doc__", None)
    monkeypatch.setattr(errors.AskdError, "__doc__", None)
    assert problems.meaning(errors.NoAnswer)
