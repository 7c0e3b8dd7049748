"""Section of one operation in the API reference, and form fields generated from JSON Schema.

The home page uses the form fields too.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from askd.api.pages import layout, schema_view
from askd.api.pages.layout import Markup, element, inline, join, render_paragraphs

Schemas = Mapping[str, Any]
"""The document's `components.schemas`."""

_INPUT_MODES: Final = {"integer": "numeric", "number": "decimal"}
_PLACEHOLDER_ORIGIN: Final = "http://localhost:2024"
"""Origin in the static curl examples; a script replaces it with the origin of the page."""
_CURL_AUTH_OPTION: Final = ' -H "Authorization: Bearer $ASKD_TOKEN"'
_SAMPLE_VALUES: Final = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": []}


def resolve_schema(schema: Mapping[str, Any], schemas: Schemas) -> Mapping[str, Any]:
    """Resolve references, and reduce a nullable schema (`anyOf` with null) to its other alternative."""
    if "$ref" in schema:
        target = schemas.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return resolve_schema({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, schemas)
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return resolve_schema(
            {**options[0], **{key: value for key, value in schema.items() if key != "anyOf"}}, schemas
        )
    return schema


def form_field(id: str, parameter: Mapping[str, Any], schemas: Schemas, *, value: Any = None) -> Markup:
    """Return a labelled form field for an OpenAPI parameter.

    Args:
        id: Id of the control.
        parameter: The parameter, without references.
        schemas: Targets of references in its schema.
        value: Initial value; None uses the default of the schema.
    """
    schema = resolve_schema(parameter["schema"], schemas)
    initial_value = schema.get("default") if value is None else value
    description = parameter.get("description", "")
    hint = element("small", inline(description), id=f"{id}-hint") if description else None
    is_array = value_type(schema) == "array"
    control = _control(
        schema,
        "" if initial_value is None else initial_value,
        dict(
            id=id,
            name=parameter["name"],
            required=bool(parameter.get("required")),
            data_in=parameter["in"],
            data_type=value_type(schema),
            data_items=value_type(resolve_schema(schema.get("items", {}), schemas)) if is_array else None,
            aria_describedby=f"{id}-hint" if description else None,
        ),
    )
    return element("div", element("label", parameter["name"], for_=id), control, hint, class_="field")


def value_type(schema: Mapping[str, Any]) -> str:
    """Return how scripts convert the text of a field: string, integer, number, boolean, array or json.

    A schema that accepts anything is a string.
    """
    schema_type = schema.get("type")
    if isinstance(schema_type, list):
        schema_type = next((name for name in schema_type if name != "null"), None)
    if schema_type is None:
        return "string" if all(isinstance(option, str) for option in _enum_values(schema)) else "json"
    return schema_type if schema_type in {"string", "integer", "number", "boolean", "array"} else "json"


def _control(schema: Mapping[str, Any], value: Any, attributes: dict[str, Any]) -> Markup:
    options = (
        ["true", "false"] if schema.get("type") == "boolean" else [_to_text(option) for option in _enum_values(schema)]
    )
    if options:
        empty_option = [] if attributes["required"] or value != "" else [""]
        return element("select", (_option(text, _to_text(value)) for text in empty_option + options), **attributes)
    data_type = attributes["data_type"]
    if data_type in {"array", "json"}:
        lines = "\n".join(map(_to_text, value)) if isinstance(value, list) else _to_text(value)
        placeholder = "one per line" if data_type == "array" else "JSON"
        return element("textarea", lines, rows=2, placeholder=placeholder, **attributes)
    extra: dict[str, Any] = {"inputmode": _INPUT_MODES.get(data_type), "maxlength": schema.get("maxLength")}
    return element("input", type="text", value=_to_text(value), autocomplete="off", **extra, **attributes)


def _enum_values(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _option(text: str, selected_text: str) -> Markup:
    return element("option", text, value=text, selected=text == selected_text)


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def join_fields(fields: list[Markup]) -> Markup | None:
    """Group the fields; None if the list is empty."""
    return element("div", join(fields), class_="fields") if fields else None


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
    body = operation.get("requestBody")
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
    rows = [_response_row(status, response) for status, response in responses.items() if "x-codes" not in response]
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


def _response_row(status: str, response: Mapping[str, Any]) -> Markup:
    media_types = (_media_type_row(name, content) for name, content in response.get("content", {}).items())
    details = join(inline(response["description"]), media_types)
    if response.get("headers"):
        details = join(details, element("small", "Headers: ", ", ".join(response["headers"])))
    return element("div", element("dt", element("code", status)), element("dd", details))


def _media_type_row(name: str, content: Mapping[str, Any]) -> Markup:
    description = content["schema"].get("description")
    return element(
        "p",
        element("code", name),
        " ",
        inline(description) if description else schema_view.schema_summary(content["schema"]),
    )


def _try_it_form(path: str, method: str, document: Mapping[str, Any]) -> Markup:
    operation = document["paths"][path][method]
    return element(
        "form",
        join_fields(list(_input_fields(operation, document))),
        _header_fields(operation, document),
        element(
            "pre",
            element("code", _curl_command(path, method, document)),
            class_="curl",
            tabindex=0,
            role="group",
            aria_label="curl command",
        ),
        element("p", element("button", "Send", type="submit"), class_="send", hidden=True),
        element("div", class_="result", aria_live="polite"),
        class_="try",
        action=layout.url_path(document, path),
        data_method=method.upper(),
        data_requires_token="security" in operation,
        novalidate=True,
    )


def _input_fields(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Markup]:
    schemas, operation_id = document["components"]["schemas"], operation["operationId"]
    examples = _example_values(operation, document)
    body_content = operation.get("requestBody", {}).get("content", {})
    query = [parameter for parameter in resolved_parameters(operation, document) if parameter["in"] == "query"]
    for parameter in [*query, *_body_parameters(body_content, schemas)]:
        # No descriptions here: the lists of parameters above the form have them.
        field_id = f"{operation_id}-{parameter['name']}"
        yield form_field(field_id, {**parameter, "description": ""}, schemas, value=examples.get(parameter["name"]))
    if body_content:
        yield form_field(f"{operation_id}-content-type", _header_choice("Content-Type", body_content), schemas)
    response_content = operation["responses"]["200"].get("content", {})
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


def _body_parameters(content: Mapping[str, Any], schemas: Schemas) -> list[Mapping[str, Any]]:
    if not content:
        return []
    schema = resolve_schema(next(iter(content.values()))["schema"], schemas)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "body", "schema": inner, "required": name in required}
        for name, inner in schema["properties"].items()
    ]


def _header_choice(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string", "enum": list(content)}}


def _example_values(operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample value for each required parameter: an example from the contract, or the first valid value."""
    schemas = document["components"]["schemas"]
    body_content = operation.get("requestBody", {}).get("content", {})
    parameters = [*resolved_parameters(operation, document), *_body_parameters(body_content, schemas)]
    return {
        parameter["name"]: _sample_value(parameter, document) for parameter in parameters if parameter.get("required")
    }


def _sample_value(parameter: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    if parameter["name"] == "q":
        examples = document["paths"]["/ask"]["get"]["parameters"][0].get("examples", {})
        return next((example["value"] for example in examples.values()), "hello")
    schema = resolve_schema(parameter["schema"], document["components"]["schemas"])
    return next(iter([*schema.get("examples", ()), *schema.get("enum", ())]), _SAMPLE_VALUES.get(value_type(schema)))


def _curl_command(path: str, method: str, document: Mapping[str, Any]) -> str:
    operation = document["paths"][path][method]
    examples = _example_values(operation, document)
    url = _PLACEHOLDER_ORIGIN + layout.url_path(document, path)
    auth_option = _CURL_AUTH_OPTION if "security" in operation else ""
    if method == "get":
        return "curl " + shlex.quote(url + (f"?{urlencode(examples)}" if examples else "")) + auth_option
    body = shlex.quote(json.dumps(examples, ensure_ascii=False))
    return f"curl {shlex.quote(url)}{auth_option} -H 'Content-Type: application/json' -d {body}"
