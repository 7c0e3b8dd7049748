"""The contract of an answerer as an MCP tool: what a model reads before it decides to call it."""

from typing import Any, Final

import msgspec

from askd.api.openapi import components
from askd.models import Answerer, Contract

_MAX_EXAMPLES: Final = 5
_WHOLE_REQUEST_SCHEMAS: Final[tuple[dict[str, Any], ...]] = ({}, {"type": "object"})
"""Schemas of a question that is the whole request, so that its parameters are those of the tool."""


def build_tool(name: str, answerer: Answerer, *, max_length: int, deterministic: bool) -> dict[str, Any]:
    """Return the tool as in `tools/list`.

    Args:
        name: Name of the tool.
        answerer: The answerer, which must be loaded.
        max_length: Maximum length of a question in characters.
        deterministic: Whether the same question always gets the same answer.
    """
    contract = answerer.contract
    schemas, parameters = components.build_schemas(contract, max_length, supports_threads=answerer.supports_threads)
    schemas = msgspec.json.decode(msgspec.json.encode(schemas).replace(b'"#/components/schemas/', b'"#/$defs/'))
    input_schema = _rename_question(schemas["Question"], contract, has_parameters=bool(parameters))
    hints = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False} if deterministic else {}
    return {
        "name": name,
        "description": describe_answerer(contract),
        "inputSchema": _with_definitions(input_schema, schemas, "parameter."),
        "outputSchema": _with_definitions(schemas["Answer"], schemas, "Answer."),
        **({"annotations": hints} if hints else {}),
    }


def describe_answerer(contract: Contract) -> str:
    """Return the description: what the answerer does, and questions that it can answer."""
    parts = [contract.summary, contract.description]
    if contract.examples:
        parts.append("Questions that it answers, for example: " + " | ".join(contract.examples[:_MAX_EXAMPLES]))
    return "\n\n".join(part for part in parts if part)


def has_default_description(contract: Contract) -> bool:
    """Return whether a model learns nothing about the answerer, because its code has no docstring."""
    return contract.summary == Contract().summary and not contract.description


def _rename_question(schema: dict[str, Any], contract: Contract, *, has_parameters: bool) -> dict[str, Any]:
    """Call the question as the code calls it, because a model understands `city` better than `q`."""
    form = contract.question
    question = schema["properties"].pop("q") | {"description": form.description or "The question."}
    is_whole_request = not form.required and form.schema in _WHOLE_REQUEST_SCHEMAS and has_parameters
    properties = schema["properties"] if is_whole_request else {form.name: question, **schema["properties"]}
    required = [form.name if name == "q" else name for name in schema["required"]]
    return {**schema, "properties": properties, "required": required}


def _with_definitions(schema: dict[str, Any], schemas: dict[str, Any], prefix: str) -> dict[str, Any]:
    definitions = {name: definition for name, definition in schemas.items() if name.startswith(prefix)}
    return {**schema, "$defs": definitions} if definitions else schema
