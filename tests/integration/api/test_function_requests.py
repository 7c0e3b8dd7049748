"""Requests to a function: the names and forms of the question, and structured answers."""

from pathlib import Path
from typing import Any

import pytest

from askd.answerers.function import FunctionAnswerer
from tests.support.app_fixtures import Log, ServeApp
from tests.support.user_function_fixtures import WriteFile, fresh_imports, write

__all__ = ["fresh_imports", "write"]

CODE = """
import dataclasses

@dataclasses.dataclass
class Trip:
    city: str
    days: int

def text(city, lang="en"): return f"{city} {lang}"
def typed(city: str): return city
def untyped(value, other=0.0): return [value, other]
def number(n: int): return n * n
def plan(trip: Trip, lang="en"): return trip
def mapping(values: dict): return values
def fail(text): return 1 / 0
"""


async def serve_function(serve: ServeApp, write: WriteFile, name: str) -> Any:
    """Return a client of one of the functions in CODE."""
    path: Path = write("main.py", CODE)
    return await serve(FunctionAnswerer(f"{path}:{name}", threads=1, deterministic=None))


REQUESTS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "q": ("text", {"params": {"q": "Rome"}}, "Rome en"),
    "name of the parameter": ("text", {"params": {"city": "Rome", "lang": "fr"}}, "Rome fr"),
    "name of the parameter in JSON": ("text", {"json": {"city": "Rome"}}, "Rome en"),
    "JSON without a content type, as curl -d sends it": (
        "text",
        {"data": '{"q": "Rome"}', "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        "Rome en",
    ),
    "number": ("number", {"params": {"q": "5"}}, 25),
    "number by name": ("number", {"params": {"n": "5"}}, 25),
    "number in JSON": ("number", {"json": {"q": 5}}, 25),
    "number as text in JSON": ("number", {"json": {"q": "5"}}, 25),
    "fields of a model": ("plan", {"params": {"q": "Rome", "days": "3"}}, {"city": "Rome", "days": 3}),
    "fields by name": ("plan", {"json": {"city": "Rome", "days": 3}}, {"city": "Rome", "days": 3}),
    "a model as q": ("plan", {"json": {"q": {"city": "Rome", "days": 3}}}, {"city": "Rome", "days": 3}),
    "a model by name": ("plan", {"json": {"trip": {"city": "Rome", "days": 3}}}, {"city": "Rome", "days": 3}),
    "a model as JSON in a query": (
        "plan",
        {"params": {"trip": '{"city":"Rome","days":3}'}},
        {"city": "Rome", "days": 3},
    ),
    "a mapping": ("mapping", {"params": {"q": "hi", "a": "1"}}, {"q": "hi", "a": "1"}),
    "a mapping without q": ("mapping", {"json": {"a": [1]}}, {"a": [1]}),
    "a mapping as q": ("mapping", {"json": {"q": {"a": 1}}}, {"a": 1}),
    "untyped text": ("untyped", {"params": {"q": "5"}}, ["5", 0]),
    "untyped number": ("untyped", {"json": {"q": 5, "other": 1.5}}, [5, 1.5]),
    "untyped list by its name": ("untyped", {"json": {"value": [1, None]}}, [[1, None], 0]),
}


@pytest.mark.parametrize(("name", "request_", "answer"), REQUESTS.values(), ids=REQUESTS)
async def test_question(serve: ServeApp, write: WriteFile, name: str, request_: dict[str, Any], answer: Any) -> None:
    """The question is sent as `q`, by the name of the first parameter, or as the fields of a model."""
    client = await serve_function(serve, write, name)
    method = "GET" if "params" in request_ else "POST"
    response = await client.request(method, "/ask", **request_)
    assert (response.status, await response.json()) == (200, {"answer": answer})


INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "missing": ("text", {"lang": "fr"}, "'q' is missing"),
    "sent twice": ("text", {"q": "a", "city": "b"}, "'q' and 'city' are both the question. Send one of them."),
    "not text": ("typed", {"city": 5}, '\'city\' is not a string. Send {"city": "5"}.'),
    "no value": ("untyped", {"q": None}, "'q' is missing"),
    "unknown": ("text", {"q": "a", "lnag": "b"}, "`lnag` is not a parameter: did you mean `lang`?"),
    "not a number": ("number", {"q": "x"}, "`n`: expected `int`, got 'x'."),
    "missing number": ("number", {}, "`n` is missing."),
    "fields": ("plan", {"q": "a", "days": "x", "zzz": 1}, "`days`: expected `int`, got 'x'. `zzz` is not a parameter"),
    "missing field": ("plan", {"q": "Rome"}, "`days` is missing."),
    "no model": ("plan", {"trip": 5}, "`trip`: expected `object`, got `int`."),
}


@pytest.mark.parametrize(("name", "body", "detail"), INVALID.values(), ids=INVALID)
async def test_invalid_question(
    serve: ServeApp, write: WriteFile, name: str, body: dict[str, Any], detail: str
) -> None:
    """An invalid request is a 400 that names the parameters."""
    client = await serve_function(serve, write, name)
    response = await client.post("/ask", json=body)
    problem = await response.json()
    assert (response.status, problem["detail"][: len(detail)]) == (400, detail)


async def test_structured_answer_as_text(serve: ServeApp, write: WriteFile) -> None:
    """The plain text and the delta of a structured answer are its JSON."""
    client = await serve_function(serve, write, "plan")
    params = {"q": "Rome", "days": "3"}
    response = await client.get("/ask", params=params, headers={"Accept": "text/plain"})
    assert await response.text() == '{"city":"Rome","days":3}\n'
    response = await client.get("/ask", params=params, headers={"Accept": "text/event-stream"})
    events = (await response.text()).split("\n\n")
    assert events[:2] == [
        'event: delta\ndata: "{\\"city\\":\\"Rome\\",\\"days\\":3}"',
        'event: answer\ndata: {"answer":{"city":"Rome","days":3}}',
    ]


async def test_openapi_of_a_model(serve: ServeApp, write: WriteFile) -> None:
    """The contract has the fields of a model as parameters, and its schema as the answer's for an annotated result."""
    client = await serve_function(serve, write, "plan")
    document = await (await client.get("/openapi.json")).json()
    question = document["components"]["schemas"]["Question"]
    assert list(question["properties"]) == ["q", "lang", "days"]
    assert (question["required"], question["additionalProperties"]) == (["q", "days"], False)
    assert "It may also be sent as `city`." in question["properties"]["q"]["description"]


async def test_traceback_begins_in_the_function(serve: ServeApp, write: WriteFile, log: Log) -> None:
    """The logged traceback begins at the user's line."""
    client = await serve_function(serve, write, "fail")
    assert (await client.get("/ask?q=a")).status == 500
    [exception] = [line["exception"] for line in log.lines() if "exception" in line]
    frames = [line for line in exception.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert frames[0].endswith('main.py", line 15, in fail')
