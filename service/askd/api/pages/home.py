"""Home page: a form to ask a question, the answer, and a timeline of the request.

If the answerer remembers conversations, the page shows all turns of one, with the form below them.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlencode

from askd.api.pages import form_fields, layout
from askd.api.pages.html import Markup, element, join
from askd.api.pages.schema_example import resolve_schema
from askd.models import Contract

_STAGES: Final = (
    ("client", "Client", "this page"),
    ("network", "Network", "request and response in transit"),
    ("server", "Server", "authentication, limits, queue"),
    ("answerer", "Answerer", "computes the answer"),
    ("response", "Response", "is rendered and sent"),
)
"""Stages of the timeline: id, label and description. Scripts refer to the ids."""
_MAX_EXAMPLES: Final = 5
QUESTION_LABEL: Final = "Your question"


def home_page(document: Mapping[str, Any], path: str = "/ask") -> layout.Page:
    """Render the home page from the OpenAPI document; `path` is that of the answerer to ask."""
    ask_operation = document["paths"][path]["get"]
    answerer_info = document.get("x-answerers", {}).get(path, document["x-answerer"])
    answer = element("section", id="answer", aria_live="polite", aria_label="Answer", tabindex=-1)
    form = _ask_form(document, path, answerer_info)
    main = join(
        _answerer_links(document, path),
        element("h1", _heading(document, ask_operation, answerer_info)),
        (_turns(), answer, form) if _has_threads(ask_operation) else (form, answer),
        _request_timeline(answerer_info["name"]),
        _request_history(),
    )
    return layout.build_page("Ask", main, document, current_path="/", bundle_name="home", answerer_info=answerer_info)


def _answerer_links(document: Mapping[str, Any], current_path: str) -> Markup | None:
    """Return links to the pages of all answerers; None if there is only one."""
    names = [path.removeprefix("/ask/") for path in document.get("x-answerers", {}) if path != "/ask"]
    if len(names) < 2:
        return None
    prefix = layout.url_prefix(document)
    links = [
        element(
            "a",
            unquote(name),
            href=f"{prefix}/answerers/{name}",
            class_="chip",
            aria_current="page" if current_path == f"/ask/{name}" else None,
        )
        for name in names
    ]
    return element("nav", links, aria_label="Answerers", class_="examples")


def _heading(document: Mapping[str, Any], ask_operation: Mapping[str, Any], answerer_info: Mapping[str, Any]) -> str:
    """Return the author's summary of the code, or its name if there is none."""
    summary: str = ask_operation["summary"]
    name: str = answerer_info["name"] or document["info"]["title"]
    return name if summary == Contract().summary else summary


def _has_threads(ask_operation: Mapping[str, Any]) -> bool:
    """Return whether a request names the conversation that it belongs to: its parameter `thread` is a text."""
    parameters = ask_operation["parameters"]
    return any(
        parameter.get("name") == "thread" and parameter["schema"].get("type") == "string" for parameter in parameters
    )


def _ask_form(document: Mapping[str, Any], path: str, answerer_info: Mapping[str, Any]) -> Markup:
    url, ask_operation = layout.url_path(document, path), document["paths"][path]["get"]
    question = ask_operation["parameters"][0]
    fields = _parameter_fields(ask_operation, document["components"]["schemas"])
    if _has_threads(ask_operation):  # a conversation needs only its one box
        is_open = any(parameter.get("required") for parameter in ask_operation["parameters"][1:])
        fields = element("details", element("summary", "Thread and parameters"), fields, open=is_open)
    return element(
        "form",
        _question_input(question, multiline=answerer_info["kind"] != "book"),
        fields,
        _example_links(url, question),
        id="ask",
        action=url,
        method="get",
        data_method="GET",
        data_streams=bool(answerer_info["streams"]),
        data_requires_token="security" in ask_operation,
        data_docs=layout.url_path(document, "/docs"),
    )


def _question_input(question: Mapping[str, Any], *, multiline: bool) -> Markup:
    attributes: dict[str, Any] = {"id": "q", "name": "q", "required": question["required"]}
    attributes |= {"data_in": "query", "data_type": "string", "maxlength": question["schema"].get("maxLength")}
    attributes |= {"autocomplete": "off", "enterkeyhint": "send"}
    box = element("textarea", rows=1, **attributes) if multiline else element("input", type="text", **attributes)
    line = element("div", box, element("button", "Ask", type="submit"), class_="line")
    return join(element("label", QUESTION_LABEL, for_="q"), line)


def _parameter_fields(ask_operation: Mapping[str, Any], schemas: form_fields.Schemas) -> Markup:
    """Return the fields for the parameters besides `q`.

    Optional fields without a default are disabled until a script enables them: without JavaScript, the browser would
    send them with an empty value.
    """
    parameters = [parameter for parameter in ask_operation["parameters"][1:] if parameter.get("in") == "query"]
    enabled: list[Markup] = []
    disabled: list[Markup] = []
    for parameter in parameters:
        works_without_script = parameter["required"] or _has_default(parameter, schemas)
        fields = enabled if works_without_script else disabled
        fields.append(form_fields.form_field(f"p-{parameter['name']}", parameter, schemas))
    fieldset = element(
        "fieldset", form_fields.join_fields(disabled), disabled=True, hidden=True, data_needs_script=True
    )
    return join(form_fields.join_fields(enabled), fieldset if disabled else None)


def _has_default(parameter: Mapping[str, Any], schemas: form_fields.Schemas) -> bool:
    schema = resolve_schema(parameter["schema"], schemas)
    return schema.get("default") is not None and form_fields.value_type(schema) not in {"array", "json"}


def _example_links(url: str, question: Mapping[str, Any]) -> Markup | None:
    texts = [example["value"] for example in question.get("examples", {}).values()][:_MAX_EXAMPLES]
    links = [element("a", text, href=ask_url(url, text), data_ask=text, class_="chip") for text in texts]
    return element("p", element("span", "Examples"), links, class_="examples") if links else None


def ask_url(url: str, text: str) -> str:
    """Return the URL that asks this question; `url` is that of `/ask`."""
    return f"{url}?{urlencode({'q': text})}"


def _turns() -> Markup:
    """Return the list of the turns of the conversation. A script fills it; the last answer is below it."""
    return element("ol", id="turns", aria_label="Conversation")


def _request_timeline(answerer_name: str) -> Markup:
    rows = [_stage_item(*stage, answerer_name) for stage in _STAGES]
    heading = element("h2", "Request timeline ", element("span", id="total-time"), id="timeline-title")
    return element(
        "section",
        heading,
        element("p", "The stages of a request, and the time that each of them takes.", id="timeline-note"),
        element("ol", rows, class_="stages"),
        element("div", element("h3", "Server stages ", element("b")), element("div"), id="server-stages", hidden=True),
        _curl_box(),
        id="timeline",
        aria_labelledby="timeline-title",
    )


def _curl_box() -> Markup:
    code = element("code", id="curl")
    return element("pre", code, id="curl-box", hidden=True, tabindex=0, role="group", aria_label="curl command")


def _request_history() -> Markup:
    """Return the chart of the last requests of this page. A script fills and shows it."""
    columns = element("div", class_="columns", role="radiogroup", aria_labelledby="history-title")
    chart = element("div", element("span", class_="maximum", aria_hidden="true"), columns, class_="chart")
    return element(
        "section",
        element("h2", "Recent requests", id="history-title"),
        element("p", class_="summary"),
        chart,
        id="history",
        aria_labelledby="history-title",
        hidden=True,
    )


def _stage_item(id: str, label: str, description: str, answerer_name: str) -> Markup:
    text = answerer_name if id == "answerer" and answerer_name else description
    return element(
        "li",
        element("b", label),
        element("span", text, class_="description", data_description=True),
        element("span", class_="track", aria_hidden="true"),
        element("span", class_="time"),
        data_stage=id,
    )
