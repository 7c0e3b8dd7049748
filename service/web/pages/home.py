"""The home page: a box to ask in, the answer, and the way that a question takes."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from service.web.pages import fields, shell
from service.web.pages.html import Markup, element, join, prose

_STATIONS: Final = (
    ("client", "Client", "asks, and waits"),
    ("network", "Network", "there and back"),
    ("server", "Server", "waits in line, guards"),
    ("code", "Code", "finds the answer"),
    ("response", "Response", "is written"),
)


def home(document: Mapping[str, Any]) -> shell.Page:
    """Make the home page from the contract."""
    ask = document["paths"]["/ask"]["get"]
    main = join(
        element("h1", document["info"]["summary"]),
        _form(document, ask),
        element("section", id="answer", aria_live="polite", aria_label="Answer"),
        _exchange(document["x-answerer"]),
    )
    return shell.page("Ask", main, document, current="/", script="home.js")


def _form(document: Mapping[str, Any], ask: Mapping[str, Any]) -> Markup:
    address = shell.place(document, "/ask")
    return element(
        "form",
        _question(ask["parameters"][0], long=document["x-answerer"]["kind"] != "book"),
        _parameters(ask, document["components"]["schemas"]),
        _examples(address, ask["parameters"][0]),
        id="ask",
        action=address,
        method="get",
        data_method="GET",
        data_streams=bool(document["x-answerer"]["streams"]),
        data_docs=shell.place(document, "/docs"),
    )


def _question(q: Mapping[str, Any], *, long: bool) -> Markup:
    limits: dict[str, Any] = {"maxlength": q["schema"]["maxLength"], "autocomplete": "off", "enterkeyhint": "send"}
    about: dict[str, Any] = {"id": "q", "name": "q", "required": True, "data_in": "query", "data_type": "string"}
    box = element("textarea", rows=1, **about, **limits) if long else element("input", type="text", **about, **limits)
    button = element("button", "Ask", type="submit")
    line = element("div", box, button, class_="line")
    return join(element("label", "Your question", for_="q"), line)


def _parameters(ask: Mapping[str, Any], schemas: fields.Schemas) -> Markup:
    """What has to be given or starts with a value works without script; the rest would be sent empty, so it waits."""
    known = [given for given in ask["parameters"][1:] if given.get("in") == "query"]
    ready = {given["name"] for given in known if given["required"] or _starts(given, schemas)}
    always = [fields.field(f"p-{given['name']}", given, schemas) for given in known if given["name"] in ready]
    later = [fields.field(f"p-{given['name']}", given, schemas) for given in known if given["name"] not in ready]
    waiting = element("fieldset", fields.join_fields(later), disabled=True, hidden=True, data_later=True)
    return join(fields.join_fields(always), waiting if later else None)


def _starts(given: Mapping[str, Any], schemas: fields.Schemas) -> bool:
    schema = fields.resolve(given["schema"], schemas)
    return schema.get("default") is not None and fields.kind(schema) not in {"array", "json"}


def _examples(address: str, q: Mapping[str, Any]) -> Markup | None:
    texts = [example["value"] for example in q.get("examples", {}).values()][:5]
    links = [element("a", text, href=asking(address, text), data_ask=text) for text in texts]
    return element("p", element("span", "Try"), links, class_="examples") if links else None


def asking(address: str, text: str) -> str:
    """Return the address that asks this question."""
    return f"{address}?{urlencode({'q': text})}"


def _exchange(about: Mapping[str, Any]) -> Markup:
    rows = [_station(*station, about["name"]) for station in _STATIONS]
    note = element("p", id="note", class_="note")
    curl = element(
        "pre", element("code", id="curl"), id="curl-box", hidden=True, tabindex=0, role="group", aria_label="With curl"
    )
    heading = element("h2", "The exchange", id="exchange-title")
    description = prose("What happens to a question, and how long each part takes.")
    stations = element("ol", rows, class_="stations")
    return element(
        "section", heading, description, stations, note, curl, id="exchange", aria_labelledby="exchange-title"
    )


def _station(id: str, label: str, gloss: str, name: str) -> Markup:
    said = name if id == "code" and name else gloss
    return element(
        "li",
        element("b", label),
        element("span", said, class_="gloss", data_gloss=True),
        element("span", class_="track", aria_hidden="true"),
        element("span", class_="time"),
        data_stage=id,
    )
