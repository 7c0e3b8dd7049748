"""Request parser: turns the bytes of a connection into requests, with llhttp (httptools) and stricter limits.

aiohttp never parses bytes that a client sent: it gets each request written anew from a `RequestHead`, so that the two
parsers cannot disagree about where a request ends (request smuggling).
"""

import re
from collections.abc import Callable
from typing import Final

import httptools
from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from askd.httpserver import responses
from askd.httpserver.responses import StaticResponse

MAX_HEADERS: Final = 128
"""Headers of one request."""
MAX_FIELD_SIZE: Final = 8190
"""Bytes of one header, name and value together."""
MAX_HEAD_SIZE: Final = 64 << 10
"""Bytes of a request line and its headers together."""
MAX_CACHED_HEADS: Final = 1024
"""Heads in the cache of parsed heads. It is cleared when it is full."""
MAX_CACHED_HEAD_SIZE: Final = 512
"""Bytes of the longest head that is cached."""
_HEAD_END: Final = b"\r\n\r\n"
_LISTS: Final = (hdrs.ACCEPT, hdrs.IF_NONE_MATCH)
_UNKNOWN_METHOD: Final = re.compile(rb"[\r\n]*[A-Z][A-Z-]{0,30} [/*h]")
"""The beginning of a request that is well formed but for its method, in contrast to the bytes of another protocol."""
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class RequestHead:
    """Request line and headers. Immutable: equal requests of all connections may share one.

    Args:
        method: For example `GET`.
        target: Target as received, for example `/ask?q=hello`.
        headers: Names are case-insensitive. Bytes that are not UTF-8 are surrogates (`surrogateescape`).
        version: `1.0` or `1.1`.
        keep_alive: Whether the client keeps the connection open after the response.
        is_upgrade: Whether the client offers another protocol, or asks for a tunnel (CONNECT).
    """

    __slots__ = (
        "fast_path_key", "has_body", "headers", "is_chunked", "is_upgrade", "keep_alive", "method", "target", "version"
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        headers: CIMultiDictProxy[str],
        *,
        version: str = "1.1",
        keep_alive: bool = True,
        is_upgrade: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.version = version
        self.keep_alive = keep_alive
        self.is_upgrade = is_upgrade
        self.is_chunked = "Transfer-Encoding" in headers
        """Whether the body is sent in chunks."""
        self.has_body = self.is_chunked or int(headers.get("Content-Length", 0)) > 0
        """Whether a body follows."""
        self.fast_path_key: object = None
        """What the fast path has found out about this head; None before it has seen it."""

    def encode(self) -> bytes:
        """Return the head as bytes."""
        target = "*" if self.method == "CONNECT" else self.target  # aiohttp cannot route the authority of CONNECT
        method = "OPTIONS" if self.method == "CONNECT" else self.method
        lines = [f"{method} {target} HTTP/{self.version}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


class IncomingRequest:
    """A request while it is received and handled.

    Args:
        head: The head, or None for a request that must be refused.
        arrived_at: When its first byte arrived, in seconds of `time.monotonic`.
        refusal: Response to send instead of handling it, after which the connection closes.
    """

    __slots__ = ("arrived_at", "chunks", "head", "is_complete", "refusal")

    def __init__(self, head: RequestHead | None, arrived_at: float, refusal: StaticResponse | None = None) -> None:
        self.head = head
        self.arrived_at = arrived_at
        self.refusal = refusal
        self.chunks: list[bytes] = []
        """Received parts of the body that nobody has taken yet."""
        self.is_complete = False
        """Whether the whole body was received."""


class _RefusedError(Exception):
    """The request exceeds a limit of this parser."""


class RequestParser:
    """Parser of one connection.

    Args:
        max_line_size: Maximum length of the request target in bytes.
        on_request: Called with each request when its head is complete, and with each refused one.
        on_body: Called when a part of a body was added to `chunks`, or the body is complete.
    """

    __slots__ = (
        "_fields_size",
        "_headers",
        "_is_complete",
        "_max_line_size",
        "_now",
        "_on_body",
        "_on_request",
        "_parser",
        "_refusal",
        "_request",
        "_target",
        "_unfinished_size",
        "has_failed",
        "head_started_at",
    )

    def __init__(
        self,
        max_line_size: int,
        *,
        on_request: Callable[[IncomingRequest], None],
        on_body: Callable[[IncomingRequest], None],
    ) -> None:
        self._max_line_size = max_line_size
        self._on_request, self._on_body = on_request, on_body
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: StaticResponse | None = None
        self._request: IncomingRequest | None = None
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._fields_size = 0  # bytes of the headers that llhttp has passed on
        self._unfinished_size = 0  # bytes that were received of an unfinished head
        self._now = 0.0
        self.head_started_at: float | None = None
        """Arrival time of the first byte of a head that is incomplete, or None."""
        self.has_failed = False
        """Whether a request was refused: nothing after it can be understood."""

    @property
    def is_between_requests(self) -> bool:
        """Whether the next byte begins a request."""
        return self.head_started_at is None and not self.is_in_body and not self.has_failed

    @property
    def is_in_body(self) -> bool:
        """Whether the body of the last request is incomplete."""
        return self._request is not None and not self._request.is_complete

    def feed(self, data: bytes, now: float) -> None:
        """Parse bytes that arrived at `now`. Bytes after a refused or a last request are ignored."""
        if self.has_failed:
            return
        self._now = now
        started_before = self.head_started_at is not None
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                self._parser = httptools.HttpRequestParser(self)  # the offer is ignored (RFC 9110, section 7.8)
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                if isinstance(error, httptools.HttpParserCallbackError) and self._refusal is None:
                    raise  # a bug in a callback
                if isinstance(error, httptools.HttpParserInvalidMethodError) and _UNKNOWN_METHOD.match(data):
                    self._refusal = responses.METHOD_NOT_IMPLEMENTED
                self._fail()
                return
        if self.head_started_at is not None:
            # A head that began in this data follows the last blank line in it.
            size = len(data) if started_before else len(data) - (data.rfind(_HEAD_END) + 1)
            self._unfinished_size += size
            if self._unfinished_size > MAX_HEAD_SIZE:
                self._refusal = responses.HEADERS_TOO_LARGE
                self._fail()

    def _fail(self) -> None:
        last, self.has_failed = self._request, True
        if last is not None and last.is_complete and last.head is not None and not last.head.keep_alive:
            return  # data after the last request of the connection
        refusal = self._refusal or responses.MALFORMED_REQUEST
        if self.is_in_body and last is not None:
            last.refusal = refusal
            self._on_body(last)
            return
        arrived_at = self._now if self.head_started_at is None else self.head_started_at
        self.head_started_at = None
        self._on_request(IncomingRequest(None, arrived_at, refusal))

    # The methods below are called by httptools. An exception in them ends `feed_data` with HttpParserError.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.head_started_at = self._now
        self._target, self._headers = b"", []
        self._fields_size = self._unfinished_size = 0

    def on_url(self, part: bytes) -> None:
        """Add a part of the target."""
        self._target += part
        if len(self._target) > self._max_line_size:
            self._refuse(responses.URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers of a chunked body are ignored."""
        if self.head_started_at is None:
            return
        size = len(name) + len(value)
        self._fields_size += size
        if size > MAX_FIELD_SIZE or len(self._headers) == MAX_HEADERS or self._fields_size > MAX_HEAD_SIZE:
            self._refuse(responses.HEADERS_TOO_LARGE)
        self._headers.append((name.decode(), value.decode("utf-8", "surrogateescape").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        """Pass the request on."""
        parser, target = self._parser, self._target.decode()
        version = parser.get_http_version()
        headers = CIMultiDictProxy(_combine_lists(CIMultiDict(self._headers)))
        if version not in _VERSIONS:
            self._refuse(responses.VERSION_NOT_SUPPORTED)
        if version == "1.1" and len(headers.getall("Host", ())) != 1:
            self._refuse(responses.MALFORMED_REQUEST)
        if version == "1.0" and "Transfer-Encoding" in headers:  # RFC 9112, section 6.1
            self._refuse(responses.MALFORMED_REQUEST)
        if not target.startswith("/") and not _is_valid_target(target):
            self._refuse(responses.MALFORMED_REQUEST)
        head = RequestHead(
            parser.get_method().decode(),
            target,
            headers,
            version=version,
            keep_alive=parser.should_keep_alive(),
            is_upgrade=parser.should_upgrade(),
        )
        self._request = IncomingRequest(head, self.head_started_at or self._now)
        self.head_started_at = None
        self._on_request(self._request)

    def on_body(self, data: bytes) -> None:
        """Add a part of the body."""
        if self._request is not None:
            self._request.chunks.append(data)
            self._on_body(self._request)

    def on_message_complete(self) -> None:
        """End the body."""
        request = self._request
        if request is not None and request.head is not None:
            request.is_complete = True
            if request.head.has_body:
                self._on_body(request)

    def _refuse(self, refusal: StaticResponse) -> None:
        self._refusal = refusal
        raise _RefusedError


def _combine_lists(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Make one header of the repeated headers whose lines are parts of one list (RFC 9110, section 5.3)."""
    for name in _LISTS:
        values = headers.getall(name, ())
        if len(values) > 1:
            headers[name] = ", ".join(values)
    return headers


def _is_valid_target(target: str) -> bool:
    """Return whether a target that is no path can be parsed: a whole URL, an authority or `*`."""
    try:
        URL(target)
    except ValueError:
        return False
    return True
