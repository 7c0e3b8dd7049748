"""Section of one operation in the API reference."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from askd.api.pages import layout, schema_example, schema_view
from askd.api.pages.form_fields import Schemas, form_field, join_fields, to_text
from askd.api.pages.html import Markup, element, inline, join, render_paragraphs
from askd.api.pages.schema_example import resolve_schema

_PLACEHOLDER_ORIGIN: Final = "http://localhost:2024"
"""Origin in the static curl examples; a script replaces it with the origin of the page."""
_CURL_AUTH_OPTION: Final = ' -H "Authorization: Bearer $ASKD_TOKEN"'


def operation_section(path: str, method: str, document: Mapping[str, Any]) -> Markup:
    """Return the section that documents one operation."""
    operation = document["paths"][path][method]
    title = element("h3", element("b", method.upper()), " ", element("code", layout.url_path(document, path)))
    return element(
        "section",
        title,
        element("p", inline(operation.get("summary", ""))),
        _description(operation, document),
        _subsection("Parameters", _parameter_list(operation, document)),
        _subsection("Body", _body_description(operation, document)),
        _subsection("Responses", _response_list(operation, document)),
        _subsection("Try it", _try_it_form(path, method, document)),
        id=f"operation-{operation['operationId']}",
        class_="operation",
    )


def _description(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    """Return the description of the operation, unless the introduction of the page already contains it."""
    text = operation.get("description", "")
    return None if text in document["info"]["description"] else render_paragraphs(text)


def _subsection(title: str, content: Markup | None) -> Markup | None:
    return join(element("h4", title), content) if content else None


def _resolve_reference(value: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in value:
        return value
    _, _, group, name = str(value["$ref"]).split("/")
    component: Mapping[str, Any] = document["components"][group][name]
    return component


def resolved_parameters(operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parameters of an operation, with references resolved."""
    return [_resolve_reference(parameter, document) for parameter in operation.get("parameters", ())]


def _parameter_list(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    rows = [
        schema_view.property_row(
            parameter["name"],
            schema_view.schema_summary(parameter["schema"]),
            parameter.get("description", ""),
            required=parameter.get("required", False),
            location=parameter["in"],
        )
        for parameter in resolved_parameters(operation, document)
    ]
    return element("dl", rows, class_="rows") if rows else None


def _body_description(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    body = _resolve_reference(operation.get("requestBody", {}), document)
    if not body:
        return None
    schema = next(iter(body["content"].values()))["schema"]
    summary = element(
        "p",
        _code_alternatives(body["content"]),
        ": ",
        schema_view.schema_summary(schema),
        ". ",
        inline(body.get("description", "")),
    )
    return join(summary, schema_view.property_list(resolve_schema(schema, document["components"]["schemas"])))


def _code_alternatives(names: Mapping[str, Any]) -> Markup:
    return join(join(" or " if index else "", element("code", name)) for index, name in enumerate(names))


def _response_list(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    responses = {status: _resolve_reference(value, document) for status, value in operation["responses"].items()}
    rows = [
        _response_row(status, response, document["components"]["schemas"])
        for status, response in responses.items()
        if "x-codes" not in response
    ]
    problems = [
        _problem_item(status, response["x-codes"]) for status, response in responses.items() if "x-codes" in response
    ]
    if problems:
        problem_list = element("ul", problems, class_="problem-list")
        rows.append(element("div", element("dt", "Problems"), element("dd", problem_list)))
    return element("dl", rows, class_="rows responses")


def _problem_item(status: str, codes: Sequence[str]) -> Markup:
    links = (join(", " if index else " ", element("a", code, href=f"#{code}")) for index, code in enumerate(codes))
    return element("li", element("code", status), links)


def _response_row(status: str, response: Mapping[str, Any], schemas: Schemas) -> Markup:
    media_types = (_media_type_row(name, content, schemas) for name, content in response.get("content", {}).items())
    details = join(inline(response["description"]), media_types)
    if response.get("headers"):
        details = join(details, element("small", "Headers: ", ", ".join(response["headers"])))
    return element("div", element("dt", element("code", status)), element("dd", details))


def _media_type_row(name: str, content: Mapping[str, Any], schemas: Schemas) -> Markup:
    schema = content.get("schema", {})
    description = schema.get("description")
    summary = inline(description) if description else schema_view.schema_summary(schema)
    has_example = name.endswith("json") and schema_example.resolve_schema(schema, schemas).get("properties")
    example = schema_view.example_block(schema, schemas, f"Example of {name}") if has_example else None
    return join(element("p", element("code", name), " ", summary), example)


def _try_it_form(path: str, method: str, document: Mapping[str, Any]) -> Markup:
    operation = document["paths"][path][method]
    return element(
        "form",
        join_fields(list(_input_fields(operation, document))),
        _header_fields(operation, document),
        element(
            "pre",
            element("code", _curl_command(path, method, document)),
            class_="sample",
            tabindex=0,
            role="group",
            aria_label="Code sample",
        ),
        element("p", element("button", "Send", type="submit"), class_="send", hidden=True),
        element("div", class_="result", aria_live="polite"),
        id=f"try-{operation['operationId']}",
        class_="try",
        action=layout.url_path(document, path),
        data_method=method.upper(),
        data_requires_token="security" in operation,
        novalidate=True,
    )


def _input_fields(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Markup]:
    schemas, operation_id = document["components"]["schemas"], operation["operationId"]
    examples = _example_values(operation, document)
    body_content = _body_content(operation, document)
    in_url = [each for each in resolved_parameters(operation, document) if each["in"] in {"path", "query"}]
    for parameter in [*in_url, *_body_parameters(body_content, schemas)]:
        # No descriptions here: the lists of parameters above the form have them.
        field_id = f"{operation_id}-{parameter['name']}"
        yield form_field(field_id, {**parameter, "description": ""}, schemas, value=examples.get(parameter["name"]))
    if body_content:
        yield form_field(f"{operation_id}-content-type", _header_choice("Content-Type", body_content), schemas)
    response_content = _resolve_reference(operation["responses"].get("200", {}), document).get("content", {})
    if len(response_content) > 1:
        yield form_field(f"{operation_id}-accept", _header_choice("Accept", response_content), schemas)


def _header_fields(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    """Return the fields for request headers, collapsed because they are rarely needed."""
    fields = [
        form_field(f"{operation['operationId']}-{parameter['name']}", {**parameter, "description": ""}, {})
        for parameter in resolved_parameters(operation, document)
        if parameter["in"] == "header"
    ]
    return element("details", element("summary", "Request headers"), join_fields(fields)) if fields else None


def _body_content(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    content: Mapping[str, Any] = _resolve_reference(operation.get("requestBody", {}), document).get("content", {})
    return content


def _body_parameters(content: Mapping[str, Any], schemas: Schemas) -> list[Mapping[str, Any]]:
    if not content:
        return []
    schema = resolve_schema(next(iter(content.values()))["schema"], schemas)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "body", "schema": inner, "required": name in required}
        for name, inner in schema.get("properties", {}).items()
    ]


def _header_choice(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string", "enum": list(content)}}


def _example_values(operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample value for each required parameter: an example from the contract, or the first valid value."""
    schemas = document["components"]["schemas"]
    # The operation, then others of its path: examples of the query are also examples of the body.
    item = next(item for item in document["paths"].values() if any(each is operation for each in item.values()))
    siblings = [operation, *(each for each in item.values() if isinstance(each, Mapping))]
    examples = {
        parameter["name"]: next(iter(parameter["examples"].values()))["value"]
        for sibling in reversed(siblings)
        for parameter in resolved_parameters(sibling, document)
        if parameter.get("examples")
    }
    parameters = [
        *resolved_parameters(operation, document),
        *_body_parameters(_body_content(operation, document), schemas),
    ]
    return {
        parameter["name"]: examples.get(parameter["name"]) or _sample_value(parameter, schemas)
        for parameter in parameters
        if parameter.get("required")
    }


def _sample_value(parameter: Mapping[str, Any], schemas: Schemas) -> Any:
    return "hello" if parameter["name"] == "q" else schema_example.example_value(parameter["schema"], schemas)


def _curl_command(path: str, method: str, document: Mapping[str, Any]) -> str:
    operation = document["paths"][path][method]
    examples = _example_values(operation, document)
    url = _PLACEHOLDER_ORIGIN + layout.url_path(document, path)
    for parameter in resolved_parameters(operation, document):
        if parameter["in"] == "path":
            url = url.replace(f"{{{parameter['name']}}}", quote(to_text(examples.pop(parameter["name"])), safe=""))
    auth_option = _CURL_AUTH_OPTION if "security" in operation else ""
    if method == "get":
        return "curl " + shlex.quote(url + (f"?{urlencode(examples)}" if examples else "")) + auth_option
    command = f"curl -X {method.upper()} {shlex.quote(url)}{auth_option}"
    if not _body_content(operation, document):
        return command
    body = shlex.quote(json.dumps(examples, ensure_ascii=False))
    return f"curl {shlex.quote(url)}{auth_option} -H 'Content-Type: application/json' -d {body}"
