"""HTML pages: safe for any content, usable without JavaScript, small, and self-contained."""

import gzip
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.api import pages
from askd.api.pages import form_fields, html, schema_example, schema_view
from askd.config import Settings
from askd.models import Answerer, Contract, Parameter
from tests.support.openapi_answerers import FullContractAnswerer, MinimalAnswerer, openapi_document

HTML_INJECTION = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;`</code>`"
VOID = {"meta", "link", "input", "br"}


class PageParser(HTMLParser):
    """Parses a page: start tags, ids and text. Asserts that all tags are closed in order."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Return all values of an attribute on the page."""
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def _injecting_answerer() -> Answerer:
    answerer = MinimalAnswerer()
    answerer.name = answerer.kind = HTML_INJECTION
    answerer.contract = Contract(
        summary=HTML_INJECTION,
        description=HTML_INJECTION,
        examples=[HTML_INJECTION],
        parameters=[
            Parameter(
                name=HTML_INJECTION,
                schema={"enum": [HTML_INJECTION], "default": HTML_INJECTION, HTML_INJECTION: HTML_INJECTION},
                description=HTML_INJECTION,
            )
        ],
        answer_schema={
            "type": "object",
            "properties": {HTML_INJECTION: {"type": HTML_INJECTION, "description": HTML_INJECTION}},
        },
    )
    return answerer


def _render_all(answerer: Answerer, prefix: str = "") -> Iterator[bytes]:
    document = openapi_document(Settings(prefix=prefix), answerer)
    yield pages.reference_page(document).body
    yield pages.home_page(document).body
    members = ("title", "detail", "type", "instance", "request_id", "parameter")
    yield pages.problem_page(
        {**dict.fromkeys(members, answerer.name), "status": 404, "suggestions": [answerer.name]}, prefix
    )


@pytest.mark.parametrize(
    "answerer",
    [MinimalAnswerer(), FullContractAnswerer(), _injecting_answerer()],
    ids=["book", "function", "injection"],
)
def test_content_is_escaped(answerer: Answerer) -> None:
    """No page has inline scripts or styles, or a tag that comes from a name or a text."""
    for body in _render_all(answerer):
        parser = PageParser(body)
        assert not parser.open
        assert not [tag for tag, _ in parser.tags if tag in {"img", "iframe", "style", "base"}]
        assert not [name for _, attributes in parser.tags for name in attributes if name.startswith("on")]
        assert not parser.values("style")
        assert all(attributes.get("src") for tag, attributes in parser.tags if tag == "script")


@given(text=st.text())
def test_any_text_is_escaped(text: str) -> None:
    """Any text in an element and an attribute is parsed back unchanged."""
    normalized = text.replace("\r", "\n").replace("\x00", "")
    parser = PageParser(html.element("p", normalized, title=normalized).encode("utf-8", "replace"))
    expected = normalized.encode("utf-8", "replace").decode()
    assert (parser.text, parser.values("title"), len(parser.tags)) == (expected, [expected], 1)


def test_links_are_below_the_prefix() -> None:
    """All links are below the path prefix, except those of the ops endpoints."""
    for body in _render_all(FullContractAnswerer(), "/answers"):
        parser = PageParser(body)
        urls = parser.values("href") + parser.values("src") + parser.values("action")
        outside = {url for url in urls if not url.startswith(("/answers/", "#", "data:"))}
        assert outside <= {"/metrics", "/livez", "/healthz", "/readyz", "/startupz"}


def test_no_other_hosts() -> None:
    """Pages, scripts and styles load nothing from other hosts."""
    sources = [asset.body for asset in pages.assets_by_path().values()] + list(_render_all(FullContractAnswerer()))
    for source in sources:
        hosts = set(re.findall(rb"https?://[\w.:-]+", source))
        assert hosts <= {b"http://www.w3.org", b"http://localhost:2024"}  # namespace of the icon; curl example


def test_anchors_exist() -> None:
    """Every `#anchor` of the reference exists, and ids are unique."""
    parser = PageParser(pages.reference_page(openapi_document(answerer=FullContractAnswerer())).body)
    ids = parser.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in parser.values("href") if href.startswith("#")} <= set(ids)


def test_fields_have_labels() -> None:
    """Every control has a label, and every referenced hint exists."""
    for body in _render_all(FullContractAnswerer()):
        parser = PageParser(body)
        controls = {attributes.get("id") for tag, attributes in parser.tags if tag in {"input", "textarea", "select"}}
        assert controls <= set(parser.values("for"))
        assert set(parser.values("aria-describedby")) <= set(parser.values("id"))


@pytest.mark.parametrize("answerer", [MinimalAnswerer(), FullContractAnswerer()], ids=["book", "function"])
def test_page_size(answerer: Answerer) -> None:
    """A page with its script and style is smaller than 90 KB before compression."""
    document = openapi_document(answerer=answerer)
    sizes = {path: len(asset.body) for path, asset in pages.assets_by_path().items()}
    for page in (pages.reference_page(document), pages.home_page(document)):
        asset_size = sum(size for path, size in sizes.items() if path.encode() in page.body)
        assert asset_size
        assert len(page.body) + asset_size < 90_000


def test_page_has_etag_gzip_and_policy() -> None:
    """A page has an ETag, a compressed body and a strict policy."""
    document = openapi_document()
    page = pages.reference_page(document)
    assert gzip.decompress(page.gzip) == page.body
    assert page == pages.reference_page(document)
    assert re.fullmatch(r'W/"[0-9a-f]{16}"', page.etag)
    assert "default-src 'none'" in page.content_security_policy
    assert "unsafe" not in page.content_security_policy


def test_assets() -> None:
    """The name of an asset contains a hash; its compressed body decompresses to its body."""
    assets = pages.assets_by_path()
    assert {path.split("/")[-1].split(".")[0] for path in assets} == {"problem", "home", "docs"}
    for path, asset in assets.items():
        assert re.fullmatch(r"/assets/[a-z]+\.[0-9a-f]{16}\.(css|js)", path)
        assert gzip.decompress(asset.gzip) == asset.body
        assert asset.media_type in {"text/css; charset=utf-8", "text/javascript; charset=utf-8"}


def test_reference_without_script() -> None:
    """The reference lists every operation, problem and schema without JavaScript."""
    document = openapi_document(answerer=FullContractAnswerer())
    parser = PageParser(pages.reference_page(document).body)
    for item in document["paths"].values():
        operation = item.get("get") or item["post"]
        assert f"operation-{operation['operationId']}" in parser.values("id")
    for problem in document["x-problems"]:
        assert problem["code"] in parser.values("id")
        assert re.sub("`", "", problem["meaning"]) in parser.text
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= set(parser.values("id"))
    assert "integer, at least 1, default 20" in parser.text


def test_curl_examples() -> None:
    """Static curl commands contain an example question and all required parameters."""
    text = PageParser(
        pages.reference_page(openapi_document(Settings(prefix="/answers"), FullContractAnswerer())).body
    ).text
    assert "curl 'http://localhost:2024/answers/ask?q=a+fox&place=sea'" in text
    assert """-d '{"q": "a fox", "place": "sea"}'""" in text


def test_unusual_operations_are_rendered() -> None:
    """Path parameters, shared bodies, other media types and missing 200 responses are rendered."""
    document = openapi_document(answerer=MinimalAnswerer())
    content = {"text/csv": {"schema": {"type": "string"}}}
    document["components"]["requestBodies"] = {"Rows": {"content": content}}
    document["tags"].append({"name": "rows"})
    document["paths"]["/rows/{id}"] = {
        "parameters": [],
        "put": {
            "operationId": "putRows",
            "tags": ["rows"],
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "requestBody": {"$ref": "#/components/requestBodies/Rows"},
            "responses": {"204": {"description": "Stored."}},
        },
        "delete": {"operationId": "deleteRows", "tags": ["rows"], "responses": {"204": {"description": "Gone."}}},
    }
    parser = PageParser(pages.reference_page(document).body)
    assert "http://localhost:2024/rows/1" in parser.text
    assert {"operation-putRows", "operation-deleteRows"} <= set(parser.values("id"))


def test_headings_say_what_is_served() -> None:
    """The home page is titled with the summary of the code, or with its name if there is none."""
    for answerer, title in ((FullContractAnswerer(), "Tells a story."), (MinimalAnswerer(), "networking")):
        body = pages.home_page(openapi_document(answerer=answerer)).body.decode()
        assert re.findall("<h1>(.*)</h1>", body) == [title]


def test_form_without_script() -> None:
    """Without JavaScript the form sends to `/ask`, without empty optional parameters."""
    parser = PageParser(pages.home_page(openapi_document(Settings(prefix="/answers"), FullContractAnswerer())).body)
    form = next(attributes for tag, attributes in parser.tags if tag == "form")
    assert (form["action"], form["method"]) == ("/answers/ask", "get")
    [fieldset] = [attributes for tag, attributes in parser.tags if tag == "fieldset"]
    assert "disabled" in fieldset
    enabled_part = (
        pages.home_page(openapi_document(answerer=FullContractAnswerer())).body.decode().partition("<fieldset")[0]
    )
    assert re.findall(r'name="([a-z]+)"', enabled_part)[-3:] == ["q", "words", "place"]


def test_timeline_stages() -> None:
    """The home page shows the five stages before the first request."""
    parser = PageParser(pages.home_page(openapi_document(answerer=MinimalAnswerer())).body)
    assert parser.values("data-stage") == ["client", "network", "server", "answerer", "response"]
    assert all(label in parser.text for label in ("Client", "Network", "Server", "Answerer", "Response"))


def test_problem_page() -> None:
    """A problem page shows the problem, links to its suggestions and to its documentation."""
    members = {"type": "/a/docs#no-answer", "title": "No answer", "status": 404, "detail": "None.", "request_id": "r-1"}
    parser = PageParser(pages.problem_page({**members, "suggestions": ["What's a port?"]}, "/a"))
    assert {"/a/ask?q=What%27s+a+port%3F", "/a/docs#no-answer", "/a/"} <= set(parser.values("href"))
    assert all(text in parser.text for text in ("404", "No answer", "None.", "r-1"))


def test_problem_page_asks_again() -> None:
    """The page of a failed question has a form with the question and the parameters of the request."""
    members = {"status": 400, "title": "Bad question", "instance": "/a/ask/shop", "parameter": "lang"}
    parser = PageParser(pages.problem_page(members, "/a", "lang=es&q=What%27s+a+port%3F&tag=1&tag=2"))
    assert (parser.values("action"), parser.values("method")) == (["/a/ask/shop"], ["get"])
    inputs = [(attributes["name"], attributes["value"]) for tag, attributes in parser.tags if tag == "input"]
    assert inputs == [("q", "What's a port?"), ("lang", "es"), ("tag", "1"), ("tag", "2")]
    assert "Ask again" in parser.text


@pytest.mark.parametrize(
    ("members", "query", "actions"),
    [
        ({"status": 401, "instance": "/a/ask"}, "q=hi", ["/a/"]),
        ({"status": 404, "instance": "//elsewhere.example/ask"}, "q=hi", ["/a/ask"]),
        ({"status": 404, "instance": "/a/nowhere"}, "", []),
        ({"status": 400, "instance": "/a/ask"}, "&".join(["q=hi"] * 51), []),
        ({"status": 400, "instance": "/a/ask"}, "q=\udcff", ["/a/ask"]),
    ],
    ids=["token", "another host", "no question", "too many parameters", "invalid bytes"],
)
def test_form_of_a_problem_page(members: dict[str, Any], query: str, actions: list[str]) -> None:
    """The form sends to the path of the request below the prefix, or to the home page if a token is needed."""
    assert PageParser(pages.problem_page(members, "/a", query)).values("action") == actions


def test_problem_page_of_an_interrupt() -> None:
    """The page of an interrupt shows the requested input, and a form that replies in the same thread."""
    members = {"status": 409, "instance": "/ask", "interrupt": {"question": "Cash or card?"}}
    parser = PageParser(pages.problem_page(members, "", "q=pay&thread=table-1"))
    assert "Cash or card?" in parser.text
    assert "Your reply" in parser.text
    inputs = [(attributes["name"], attributes["value"]) for tag, attributes in parser.tags if tag == "input"]
    assert inputs == [("q", ""), ("thread", "table-1")]


@pytest.mark.parametrize("type_", [None, "about:blank", "/docs#Ünknown code", "/docs#"])
def test_problem_of_unknown_type(type_: str | None) -> None:
    """A problem without a known code links to the list of all problems."""
    assert "/docs#problems" in PageParser(pages.problem_page({"type": type_}, "")).values("href")


@pytest.mark.parametrize(
    ("schema", "tag", "data_type"),
    [
        ({"type": "string"}, "input", "string"),
        ({}, "input", "string"),
        ({"type": "integer"}, "input", "integer"),
        ({"type": ["number", "null"]}, "input", "number"),
        ({"type": "boolean"}, "select", "boolean"),
        ({"enum": ["a", "b"]}, "select", "string"),
        ({"enum": [1, 2]}, "select", "json"),
        ({"const": "a"}, "select", "string"),
        ({"type": "array", "items": {"type": "integer"}}, "textarea", "array"),
        ({"type": "object"}, "textarea", "json"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "input", "integer"),
        ({"$ref": "#/components/schemas/Size"}, "select", "string"),
    ],
)
def test_form_field_type(schema: dict[str, Any], tag: str, data_type: str) -> None:
    """The type of a field depends on the schema."""
    schemas = {"Size": {"enum": ["s", "m"]}}
    parser = PageParser(form_fields.form_field("f", {"name": "n", "in": "query", "schema": schema}, schemas).encode())
    [control] = [attributes for name, attributes in parser.tags if name == tag]
    assert control["data-type"] == data_type


@pytest.mark.parametrize(
    ("schema", "summary"),
    [
        ({}, "anything"),
        ({"type": "string", "maxLength": 5}, "string, at most 5 characters"),
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}, "integer, at most 9, above 0"),
        ({"type": "array", "items": {"enum": ["a"]}, "minItems": 1}, 'array of "a", at least 1 items'),
        ({"type": ["string", "null"], "default": None}, "string or null, default null"),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/Size"}]}, "integer or Size"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object, each value string"),
        ({"type": "string", "pattern": "^a$"}, "string, matching ^a$"),
        ({"type": "string", "format": "date"}, "string, date (RFC 3339)"),
        ({"type": "string", "format": "made-up"}, "string, format made-up"),
        ({"type": "array", "uniqueItems": True, "maxItems": 3}, "array, without duplicates, at most 3 items"),
        ({"type": "integer", "multipleOf": 5, "deprecated": True}, "integer, a multiple of 5, deprecated"),
        ({"type": "string", "contentMediaType": "text/csv"}, 'string, {"contentMediaType": "text/csv"}'),
    ],
)
def test_schema_summary(schema: dict[str, Any], summary: str) -> None:
    """A schema is described in English; other keywords are shown as JSON."""
    assert PageParser(schema_view.schema_summary(schema).encode()).text == summary


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({}, "text"),
        ({"type": "string", "examples": ["a", "b"], "default": "c"}, "a"),
        ({"enum": ["s", "m"]}, "s"),
        ({"type": "string", "default": "c"}, "c"),
        ({"type": ["null", "string"], "format": "date"}, "2026-01-31"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 1, "maximum": 9}, 2),
        ({"type": "number", "maximum": 0}, 0),
        ({"type": "boolean"}, True),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, 1),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Size"}}, ["m"]),
        ({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "array"}}}, {"a": None, "b": []}),
        ({"$ref": "#/components/schemas/Tree"}, {"next": {"next": {"next": {"next": {}}}}}),
    ],
)
def test_schema_example(schema: dict[str, Any], example: Any) -> None:
    """An example is the schema's own, or the simplest valid value; recursive schemas end."""
    schemas = {
        "Size": {"enum": ["m"]},
        "Tree": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Tree"}}},
    }
    assert schema_example.example_value(schema, schemas) == example


def test_nested_properties() -> None:
    """Properties of nested objects and arrays are listed."""
    leaf = {"type": "object", "properties": {"leaf": {"type": "integer", "description": "Deep down."}}}
    schema = {"type": "object", "properties": {"list": {"type": "array", "items": leaf}, "branch": leaf}}
    text = PageParser((schema_view.property_list(schema) or "").encode()).text
    assert text.count("Deep down.") == 2


def test_icon_is_well_formed() -> None:
    """The icon of the pages is a valid SVG."""
    [icon] = [
        href for href in PageParser(pages.home_page(openapi_document()).body).values("href") if href.startswith("data:")
    ]
    svg = icon.partition(",")[2].replace("%3C", "<").replace("%3E", ">").replace("%23", "#")
    assert ET.fromstring(svg).tag.endswith("svg")


def test_document_is_not_modified() -> None:
    """Rendering pages does not modify the document."""
    document = openapi_document(answerer=FullContractAnswerer())
    before = json.dumps(document)
    pages.reference_page(document)
    pages.home_page(document)
    assert json.dumps(document) == before
