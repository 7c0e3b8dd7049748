"""Property-based conformance: the server behaves as its OpenAPI document says, for valid and invalid requests."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume
from hypothesis import settings as hypothesis_settings
from schemathesis.config import SchemathesisConfig

from tests.support import documented_function
from tests.support.documented_server import DocumentedServer
from tests.support.log_capture import LogCapture

CODE_SPEC = f"{Path(documented_function.__file__)}:answer"
SERVERS = {
    "book": DocumentedServer(),
    "code": DocumentedServer(answerer=CODE_SPEC, prefix="/answers", body_max_size="2KiB", formats="ask"),
}
"""A book with defaults, and a user function below a prefix with a small body limit."""


@pytest.fixture(scope="module", autouse=True)
def urls() -> Iterator[dict[str, str]]:
    """Run both servers; return their URLs by name."""
    with LogCapture(), ExitStack() as stack:
        yield {name: stack.enter_context(server) for name, server in SERVERS.items()}


GENERATION = hypothesis_settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


Case = schemathesis.Case[Any]
REJECTION_STATUSES = ["400", "404", "405", "406", "413", "415", "417"]
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {"negative_data_rejection": {"expected-statuses": REJECTION_STATUSES}},
        # The formats of others have rules that a schema cannot express, such as the role of the last message.
        "operations": [
            {"include-path-regex": "^/(mcp|v1/)", "checks": {"positive_data_acceptance": {"enabled": False}}}
        ],
    }
)
BOOK, CODE = (schemathesis.openapi.from_dict(server.contract, config=CONFIG) for server in SERVERS.values())


@pytest.mark.parametrize("name", SERVERS)
def test_server_serves_the_tested_document(urls: dict[str, str], name: str) -> None:
    """The servers serve the document that the other tests use."""
    with urlopen(f"{urls[name]}/openapi.json", timeout=5) as response:
        assert json.load(response) == SERVERS[name].contract


@BOOK.parametrize()
@GENERATION
def test_book_conforms(case: Case, urls: dict[str, str]) -> None:
    """Generated requests to a book pass all checks."""
    case.call_and_validate(base_url=urls["book"])


def is_changed_by_a_form(case: Case) -> bool:
    """Return whether the body has fields that a form omits, so that an invalid body becomes valid."""
    fields = case.body.values() if isinstance(case.body, dict) else ()
    return case.media_type == "application/x-www-form-urlencoded" and any(field in ([], {}, None) for field in fields)


@CODE.parametrize()
@GENERATION
@pytest.mark.slow
def test_function_conforms(case: Case, urls: dict[str, str]) -> None:
    """Generated requests to a user function below a path prefix pass all checks."""
    assume(not is_changed_by_a_form(case))
    is_outside_prefix = "servers" in SERVERS["code"].contract["paths"][case.path]
    case.call_and_validate(base_url=urls["code"].removesuffix("/answers" if is_outside_prefix else ""))
