"""The home page: a box to ask in, the answer, and the way that a question takes."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from service.web.pages import fields, shell
from service.web.pages.html import Markup, element, join

_STATIONS: Final = (
    ("client", "Client", "this page: asks, and reads"),
    ("network", "Network", "there and back"),
    ("server", "Server", "guards, waits in line"),
    ("code", "Code", "finds the answer"),
    ("response", "Response", "is written"),
)


def home(document: Mapping[str, Any]) -> shell.Page:
    """Make the home page from the contract."""
    ask = document["paths"]["/ask"]["get"]
    main = join(
        element("h1", document["info"]["summary"]),
        _form(document, ask),
        _turns(),
        element("section", id="answer", aria_live="polite", aria_label="Answer", tabindex=-1),
        _exchange(document["x-answerer"]),
        _history(),
    )
    return shell.page("Ask", main, document, current="/", bundles="home")


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
        data_guarded="security" in ask,
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
    links = [element("a", text, href=asking(address, text), data_ask=text, class_="chip") for text in texts]
    return element("p", element("span", "Try"), links, class_="examples") if links else None


def asking(address: str, text: str) -> str:
    """Return the address that asks this question."""
    return f"{address}?{urlencode({'q': text})}"


def _turns() -> Markup:
    """What was said before in the thread; a script fills it."""
    return element("section", element("dl", id="turns"), aria_label="Earlier in this thread", hidden=True)


def _exchange(about: Mapping[str, Any]) -> Markup:
    rows = [_station(*station, about["name"]) for station in _STATIONS]
    heading = element("h2", "The exchange ", element("span", id="whole"), id="exchange-title")
    return element(
        "section",
        heading,
        element("p", "What happens to a question, and how long each part takes.", id="note"),
        element("ol", rows, class_="stations"),
        element("div", element("h3", "Inside the server ", element("b")), element("div"), id="inside", hidden=True),
        _curl(),
        id="exchange",
        aria_labelledby="exchange-title",
    )


def _curl() -> Markup:
    code = element("code", id="curl")
    return element("pre", code, id="curl-box", hidden=True, tabindex=0, role="group", aria_label="With curl")


def _history() -> Markup:
    """The chart of this page's last exchanges; a script fills it."""
    columns = element("div", class_="columns", role="radiogroup", aria_labelledby="history-title")
    chart = element("div", element("span", class_="most", aria_hidden="true"), columns, class_="chart")
    return element(
        "section",
        element("h2", "The last exchanges of this page", id="history-title"),
        element("p", class_="summary"),
        chart,
        id="history",
        aria_labelledby="history-title",
        hidden=True,
    )


def _station(id: str, label: str, gloss: str, name: str) -> Markup:
    said = name if id == "code" and name else gloss
    return element(
        "li",
        element("b", label),
        element("span", said, class_="gloss", data_gloss=True),
        element("span", class_="track", aria_hidden="true"),
        element("span", class_="time"),
        data_part=id,
    )
