"""Fuzz targets: each takes bytes, and raises if the code under test breaks a promise."""

import asyncio
import contextlib
import ipaddress
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from unittest import mock

from aiohttp import http
from multidict import CIMultiDict

from askd.answerers.book.formats import BookFormatError
from askd.answerers.book.formats.book_file_discovery import get_reader
from askd.answerers.graph.auth import _parse_cookies
from askd.api import cache_headers, rendering, request_values
from askd.api.question_parser import effective_timeout
from askd.context import escape_path
from askd.errors import Problem
from askd.guards.tokens import TokenFileError, read_tokens
from askd.httpserver.aiohttp_bridge import encode_head
from askd.httpserver.client_address import ClientAddressResolver, rate_limit_key
from askd.httpserver.negotiation import accepts_gzip, negotiate_representation, prefers_html
from askd.httpserver.request_parser import IncomingRequest, RequestHead, RequestParser, RequestQueue
from tests.fuzz import served_app

Target = Callable[[bytes], object]
CORPUS: Final = Path(__file__).parent / "corpus"
"""A folder of inputs for each target."""
_LOOP: Final = mock.create_autospec(asyncio.AbstractEventLoop)()
"""Keeps aiohttp from creating an event loop for bodies, which are not read."""
_RESOLVER: Final = ClientAddressResolver(("127.0.0.0/8", "10.0.0.0/8", "::1"))


def _parse_requests(data: bytes, size: int) -> list[tuple[RequestHead | None, bytes, int]]:
    """Parse bytes in pieces; return head, body and status of the refusal (0: none) of each request."""
    requests = RequestQueue()
    bodies: dict[int, bytes] = {}

    def on_body(request: IncomingRequest) -> None:
        bodies[id(request)] = bodies.get(id(request), b"") + bytes(request.body)
        request.body.clear()

    parser = RequestParser(2000, max_head_size=3000, requests=requests, on_body=on_body)
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size], 1.0)
    parser.close()
    return [(item.head, bodies.get(id(item), b""), item.refusal.status if item.refusal else 0) for item in requests]


def request_head(data: bytes) -> None:
    """Requests do not depend on segments, and aiohttp understands each head as the same one (request smuggling)."""
    whole, split = _parse_requests(data, len(data) or 1), _parse_requests(data, 7)
    keys = [[(head and encode_head(head), body, status) for head, body, status in run] for run in (whole, split)]
    if not {414, 431, 501} & {status for *_, status in (*whole, *split)}:  # the segments decide which limit is found
        assert keys[0] == keys[1]
    for head, *_ in whole:
        if head is None:
            continue
        parser = http.HttpRequestParser(None, _LOOP, 1 << 16, max_line_size=1 << 16, max_field_size=1 << 16)
        messages, _, rest = parser.feed_data(encode_head(head))
        assert len(messages) == 1
        assert not rest
        message = messages[0][0]
        method = "OPTIONS" if head.method == "CONNECT" else head.method
        assert (message.method, len(message.headers)) == (method, len(head.headers))
        assert message.chunked == head.is_chunked


def query(data: bytes) -> None:
    """A query is parsed, or is a 4xx."""
    with contextlib.suppress(Problem):
        question, _ = request_values.parse_query(data.decode("latin-1"))
        question.encode()


def json_body(data: bytes) -> None:
    """A JSON body is parsed, or is a 4xx."""
    with contextlib.suppress(Problem):
        question, values = request_values.parse_json(data)
        rendering.encode_json({"q": question, **values})
    request_values.looks_like_json(data)


def form_body(data: bytes) -> None:
    """A form is parsed, or is a 4xx."""
    with contextlib.suppress(Problem):
        request_values.parse_form(data)


def header_values(data: bytes) -> None:
    """The values of single headers are understood or refused."""
    text = data.decode("utf-8", "surrogateescape")
    for function in (negotiate_representation, request_values.parse_media_type):
        with contextlib.suppress(Problem):
            function(text)
    accepts_gzip(text)
    prefers_html(text)
    directives = cache_headers.parse_cache_directives(text, text)
    assert directives.max_age >= 0
    rendering.etag_matches(text, '"a"')
    escape_path(text).encode()
    _parse_cookies(text)
    for name in ("X-Request-Timeout", "X-Envoy-Expected-Rq-Timeout-Ms"):
        with contextlib.suppress(Problem):
            assert 0 < effective_timeout(60.0, CIMultiDict({name: text})) <= 60.0


def forwarded(data: bytes) -> None:
    """The address of a client behind proxies is an address, or that of the proxy."""
    first, _, second = data.decode("utf-8", "surrogateescape").partition("\n")
    headers = CIMultiDict({"X-Forwarded-For": first})
    if second:
        headers = CIMultiDict({"Forwarded": second})
    address = _RESOLVER.resolve("127.0.0.1", headers)
    ipaddress.ip_address(address.partition("%")[0])
    rate_limit_key(address)


def tokens_file(data: bytes) -> None:
    """A tokens file is read, or its errors are reported."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(TokenFileError):
            read_tokens(Path(file.name))


def _book(suffix: str) -> Target:
    reader = get_reader(Path(f"book{suffix}"))

    def read(data: bytes) -> None:
        """A book is read, or its error is reported with a line."""
        try:
            reader.is_book(data)
            count = sum(len(batch) for batch in reader.read_entries(data))
        except BookFormatError:
            return
        assert all(line >= 1 for line in reader.find_entry_lines(data, range(count)).values())

    return read


TARGETS: Final[Mapping[str, Target]] = {
    "request_head": request_head,
    "query": query,
    "json_body": json_body,
    "form_body": form_body,
    "header_values": header_values,
    "forwarded": forwarded,
    "tokens_file": tokens_file,
    **{f"book_{name}": _book(f".{name}") for name in ("yaml", "json", "jsonl", "csv", "tsv", "md")},
    "connection": served_app.connection,
    "ask_body": served_app.ask_body,
    "mcp_body": served_app.mcp_body,
    "openai_body": served_app.openai_body,
}
