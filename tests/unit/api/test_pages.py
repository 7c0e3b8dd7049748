"""The pages: safe whatever they show, readable without script, small, and from this server alone."""

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

from service.models import Answerer, Contract, Parameter
from service.settings import Settings
from service.web import pages
from service.web.pages import fields, html, shapes
from tests.web.page_fakes import Book, Storyteller, contract

EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;`</code>`"
VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Reads a page as a browser does: every start tag, the ids, the text, and whether all tags are closed in order."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, which must be the innermost one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect text."""
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Every value that this attribute has on the page."""
        return [found for _, attributes in self.tags if (found := attributes.get(attribute)) is not None]


def _evil() -> Answerer:
    answerer = Book()
    answerer.name = answerer.kind = EVIL
    answerer.contract = Contract(
        summary=EVIL,
        description=EVIL,
        examples=[EVIL],
        parameters=[Parameter(name=EVIL, schema={"enum": [EVIL], "default": EVIL, EVIL: EVIL}, description=EVIL)],
        answer_schema={"type": "object", "properties": {EVIL: {"type": EVIL, "description": EVIL}}},
    )
    return answerer


def _all(answerer: Answerer, prefix: str = "") -> Iterator[bytes]:
    document = contract(Settings(prefix=prefix), answerer)
    yield pages.docs(document).body
    yield pages.home(document).body
    members = ("title", "detail", "type", "instance", "request_id", "parameter")
    yield pages.problem(
        {**dict.fromkeys(members, answerer.name), "status": 404, "suggestions": [answerer.name]}, prefix
    )


@pytest.mark.parametrize("answerer", [Book(), Storyteller(), _evil()], ids=["book", "storyteller", "evil"])
def test_nothing_inline_and_nothing_untrusted(answerer: Answerer) -> None:
    """No page has a handler, a style attribute, a script of its own or a tag that came from a name or a text."""
    for body in _all(answerer):
        read = Reader(body)
        assert not read.open
        assert not [tag for tag, _ in read.tags if tag in {"img", "iframe", "style", "base"}]
        assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
        assert not read.values("style")
        assert all(attributes.get("src") for tag, attributes in read.tags if tag == "script")


@given(text=st.text())
def test_any_text_survives(text: str) -> None:
    """Whatever text is put into an element and an attribute is read back the same."""
    shown = text.replace("\r", "\n").replace("\x00", "")
    read = Reader(html.element("p", shown, title=shown).encode("utf-8", "replace"))
    wanted = shown.encode("utf-8", "replace").decode()
    assert (read.text, read.values("title"), len(read.tags)) == (wanted, [wanted], 1)


def test_prefix_on_every_link() -> None:
    """Below a prefix every address on a page is below it too, except those of the ops endpoints."""
    for body in _all(Storyteller(), "/answers"):
        read = Reader(body)
        addresses = read.values("href") + read.values("src") + read.values("action")
        outside = {found for found in addresses if not found.startswith(("/answers/", "#", "data:"))}
        assert outside <= {"/metrics", "/livez", "/healthz", "/readyz", "/startupz"}


def test_no_other_host() -> None:
    """No page, script or style takes anything from another host."""
    sources = [asset.body for asset in pages.assets().values()] + list(_all(Storyteller()))
    for source in sources:
        found = set(re.findall(rb"https?://[\w.:-]+", source))
        assert found <= {b"http://www.w3.org", b"http://localhost:2024"}  # an icon's name space; the curl example


def test_links_within_a_page_lead_somewhere() -> None:
    """Each `#anchor` in the reference exists, and no id is there twice."""
    read = Reader(pages.docs(contract(answerer=Storyteller())).body)
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    assert {found[1:] for found in read.values("href") if found.startswith("#")} <= set(ids)


def test_every_field_has_its_label() -> None:
    """Each control on the pages is named by a label, and each hint that is referred to exists."""
    for body in _all(Storyteller()):
        read = Reader(body)
        controls = {attributes.get("id") for tag, attributes in read.tags if tag in {"input", "textarea", "select"}}
        assert controls <= set(read.values("for"))
        assert set(read.values("aria-describedby")) <= set(read.values("id"))


@pytest.mark.parametrize("answerer", [Book(), Storyteller()], ids=["book", "storyteller"])
def test_small(answerer: Answerer) -> None:
    """A page with its script and style is below 60 KB before compression."""
    document = contract(answerer=answerer)
    sizes = {path: len(asset.body) for path, asset in pages.assets().items()}
    for page in (pages.docs(document), pages.home(document)):
        used = sum(size for path, size in sizes.items() if path.encode() in page.body)
        assert used
        assert len(page.body) + used < 60_000


def test_page() -> None:
    """A page comes with the same bytes compressed, a validator and a policy that forbids what is inline."""
    document = contract()
    page = pages.docs(document)
    assert gzip.decompress(page.gzip) == page.body
    assert page == pages.docs(document)
    assert re.fullmatch(r'W/"[0-9a-f]{16}"', page.etag)
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy


def test_assets() -> None:
    """An asset's name has a hash of its bytes, and its compressed bytes are the same."""
    found = pages.assets()
    assert {path.split("/")[-1].split(".")[0] for path in found} == {"problem", "home", "docs"}
    for path, asset in found.items():
        assert re.fullmatch(r"/assets/[a-z]+\.[0-9a-f]{16}\.(css|js)", path)
        assert gzip.decompress(asset.gzip) == asset.body
        assert asset.media_type in {"text/css; charset=utf-8", "text/javascript; charset=utf-8"}


def test_reference_without_script() -> None:
    """The reference shows every operation, problem and schema as text."""
    document = contract(answerer=Storyteller())
    read = Reader(pages.docs(document).body)
    for item in document["paths"].values():
        assert f"operation-{item['get']['operationId']}" in read.values("id")
    for known in document["x-problems"]:
        assert known["code"] in read.values("id")
        assert re.sub("`", "", known["meaning"]) in read.text
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= set(read.values("id"))
    assert "integer, at least 1, default 20" in read.text


def test_curl_examples() -> None:
    """The static examples carry a documented question and what else is required."""
    text = Reader(pages.docs(contract(Settings(prefix="/answers"), Storyteller())).body).text
    assert "curl 'http://localhost:2024/answers/ask?q=a+fox&place=sea'" in text
    assert """-d '{"q": "a fox", "place": "sea"}'""" in text


def test_form_without_script() -> None:
    """Without script the form asks `/ask`, and leaves out what would be sent empty."""
    read = Reader(pages.home(contract(Settings(prefix="/answers"), Storyteller())).body)
    form = next(attributes for tag, attributes in read.tags if tag == "form")
    assert (form["action"], form["method"]) == ("/answers/ask", "get")
    [waiting] = [attributes for tag, attributes in read.tags if tag == "fieldset"]
    assert "disabled" in waiting
    ahead = pages.home(contract(answerer=Storyteller())).body.decode().partition("<fieldset")[0]
    assert re.findall(r'name="([a-z]+)"', ahead)[-3:] == ["q", "words", "place"]


def test_five_stations() -> None:
    """The home page shows the way of a question before anything was asked."""
    read = Reader(pages.home(contract(answerer=Book())).body)
    assert read.values("data-part") == ["client", "network", "server", "code", "response"]
    assert [text in read.text for text in ("Client", "Network", "Server", "Code", "Response")] == [True] * 5


def test_problem_page() -> None:
    """A problem's page shows what it says, asks its suggestions, and leads to its description."""
    members = {"type": "/a/docs#no-answer", "title": "No answer", "status": 404, "detail": "None.", "request_id": "r-1"}
    read = Reader(pages.problem({**members, "suggestions": ["What's a port?"]}, "/a"))
    assert {"/a/ask?q=What%27s+a+port%3F", "/a/docs#no-answer", "/a/"} <= set(read.values("href"))
    assert all(text in read.text for text in ("404", "No answer", "None.", "r-1"))


@pytest.mark.parametrize("type_", [None, "about:blank", "/docs#Ünknown code", "/docs#"])
def test_problem_of_unknown_type(type_: str | None) -> None:
    """A problem without a known code leads to all of them."""
    assert "/docs#problems" in Reader(pages.problem({"type": type_}, "")).values("href")


@pytest.mark.parametrize(
    ("schema", "tag", "kind"),
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
def test_field(schema: dict[str, Any], tag: str, kind: str) -> None:
    """A field fits what the schema takes."""
    schemas = {"Size": {"enum": ["s", "m"]}}
    read = Reader(fields.field("f", {"name": "n", "in": "query", "schema": schema}, schemas).encode())
    [control] = [attributes for name, attributes in read.tags if name == tag]
    assert control["data-type"] == kind


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({}, "anything"),
        ({"type": "string", "maxLength": 5}, "string, at most 5 characters"),
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}, "integer, at most 9, above 0"),
        ({"type": "array", "items": {"enum": ["a"]}, "minItems": 1}, 'array of "a", at least 1 items'),
        ({"type": ["string", "null"], "default": None}, "string or null, default null"),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/Size"}]}, "integer or Size"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object, each value string"),
        ({"type": "string", "pattern": "^a$"}, "string, matching ^a$"),
        ({"type": "string", "format": "date"}, 'string, {"format": "date"}'),
    ],
)
def test_shape(schema: dict[str, Any], said: str) -> None:
    """A schema is described in words; what has none is shown as JSON."""
    assert Reader(shapes.shape(schema).encode()).text == said


def test_nested_properties() -> None:
    """What an object within an object or a list holds is listed too."""
    leaf = {"type": "object", "properties": {"leaf": {"type": "integer", "description": "Deep down."}}}
    schema = {"type": "object", "properties": {"list": {"type": "array", "items": leaf}, "branch": leaf}}
    text = Reader((shapes.rows(schema) or "").encode()).text
    assert text.count("Deep down.") == 2


def test_icon_is_well_formed() -> None:
    """The icon in the page's head is an SVG that can be read."""
    [icon] = [found for found in Reader(pages.home(contract()).body).values("href") if found.startswith("data:")]
    svg = icon.partition(",")[2].replace("%3C", "<").replace("%3E", ">").replace("%23", "#")
    assert ET.fromstring(svg).tag.endswith("svg")


def test_document_is_not_changed() -> None:
    """Making pages leaves the contract as it was."""
    document = contract(answerer=Storyteller())
    before = json.dumps(document)
    pages.docs(document)
    pages.home(document)
    assert json.dumps(document) == before
