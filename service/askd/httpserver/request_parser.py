"""Request parser: turns the bytes of a connection into requests, with llhttp (httptools) and stricter limits.

aiohttp never parses bytes that a client sent: it gets each request written anew from a `RequestHead`, so that the two
parsers cannot disagree about where a request ends (request smuggling).
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

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
DEFAULT_MAX_HEAD_SIZE: Final = 64 << 10
"""Bytes of a request line and its headers together."""
MAX_SMALL_CHUNKS: Final = 1024
"""Chunks of a body from which on they must have MIN_CHUNK_SIZE bytes on average: each costs as much as a kilobyte."""
MIN_CHUNK_SIZE: Final = 16
REQUEST_OVERHEAD: Final = 1536
"""Bytes of memory for the objects of a request, in addition to its own bytes (measured)."""
MAX_CACHED_HEADS: Final = 1024
"""Heads in the cache. It is cleared when it is full."""
MAX_CACHED_HEAD_SIZE: Final = 512
"""Bytes of the longest head that is cached."""
MAX_QUEUED_REQUESTS: Final = 16
"""Requests with which the queue of a connection is full."""
MAX_QUEUED_BYTES: Final = 64 << 10
"""Bytes with which the queue of a connection is full."""
_SLICE: Final = 2048
"""Bytes that are parsed at a time, so that a long pipeline is not parsed before its requests can be answered."""
_HEAD_END: Final = b"\r\n\r\n"
_SINGLE: Final = (
    hdrs.CONTENT_LENGTH, hdrs.CONTENT_LOCATION, hdrs.CONTENT_RANGE, hdrs.CONTENT_TYPE, hdrs.ETAG, hdrs.MAX_FORWARDS,
    hdrs.SERVER, hdrs.USER_AGENT,
)  # fmt: skip
"""Headers that must not be repeated. aiohttp would refuse such a request itself, in another format."""
_LISTS: Final = (hdrs.ACCEPT, hdrs.IF_NONE_MATCH)
_UNKNOWN_METHOD: Final = re.compile(rb"[\r\n]*[A-Z][A-Z-]{0,30} [/*h]")
"""The beginning of a request that is well formed but for its method, in contrast to the bytes of another protocol."""
_MIN_WIDE_SIZE: Final = 1024
"""Bytes from which wide characters of a head matter."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?", re.ASCII)
"""A host and an optional port (RFC 9110, section 7.2)."""


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
        self.keep_alive, self.is_upgrade = keep_alive, is_upgrade
        self.is_chunked = "Transfer-Encoding" in headers
        """Whether the body is sent in chunks."""
        self.has_body = self.is_chunked or int(headers.get("Content-Length", 0)) > 0
        """Whether a body follows."""
        self.fast_path_key: tuple[Any, ...] | None = None
        """What decides about the response of the fast path; empty if aiohttp responds, None if it is not known yet."""


class IncomingRequest:
    """A request while it is received and handled.

    Args:
        head: The head, or None for a request that must be refused.
        arrived_at: When its first byte arrived, in seconds of `time.monotonic`.
        head_size: Bytes of memory for the head.
        refusal: Response to send instead of handling it, after which the connection closes.
    """

    __slots__ = ("arrived_at", "body", "body_size", "chunk_count", "head", "head_size", "is_complete", "refusal")

    def __init__(
        self, head: RequestHead | None, arrived_at: float, *, head_size: int = 0, refusal: StaticResponse | None = None
    ) -> None:
        self.head = head
        self.arrived_at = arrived_at
        self.head_size = head_size
        self.refusal = refusal
        self.body = bytearray()
        """Received part of the body that nobody has taken yet: one buffer, however small the chunks are."""
        self.body_size = 0
        """Bytes of the body received so far."""
        self.chunk_count = 0
        """Parts in which they came."""
        self.is_complete = False
        """Whether the whole body was received."""

    @property
    def size(self) -> int:
        """Bytes of memory for the request, about; 0 if it was refused, and nothing of it is kept."""
        return REQUEST_OVERHEAD + self.head_size + self.body_size if self.refusal is None else 0


class RequestQueue(deque[IncomingRequest]):
    """Requests of one connection that wait for the one before them. While it is full, the connection reads nothing."""

    @property
    def size(self) -> int:
        """Bytes of memory for them, about."""
        return sum(request.size for request in self)

    @property
    def is_full(self) -> bool:
        """Whether too much waits."""
        return len(self) > MAX_QUEUED_REQUESTS or self.size > MAX_QUEUED_BYTES


class HeadCache(dict[bytes, RequestHead]):
    """Parsed heads of requests without a body, by their bytes: clients repeat them.

    A dictionary, because `get` is on the path of every cache hit.
    """

    def add(self, data: bytes, head: RequestHead) -> None:
        """Add a head, unless it is too long or offers another protocol."""
        if head.is_upgrade or len(data) > MAX_CACHED_HEAD_SIZE:
            return
        if len(self) >= MAX_CACHED_HEADS:
            self.clear()
        self[data] = head


class _RefusedError(Exception):
    """The request exceeds a limit of this parser."""


class RequestParser:
    """Parser of one connection.

    Args:
        max_line_size: Maximum length of the request target in bytes.
        max_head_size: Maximum length of the request line and the headers together in bytes.
        requests: Gets each request when its head is complete, and each refused one. Parsing pauses while it is full.
        on_body: Called when the body has grown, or is complete.
    """

    __slots__ = (
        "_body_size", "_fields_size", "_has_begun", "_headers", "_max_head_size", "_max_line_size", "_now", "_on_body",
        "_parser", "_refusal", "_request", "_requests", "_target", "has_failed", "head_started_at", "held",
        "is_between_requests", "unfinished_size",
    )  # fmt: skip

    def __init__(
        self,
        max_line_size: int,
        *,
        max_head_size: int = DEFAULT_MAX_HEAD_SIZE,
        requests: RequestQueue,
        on_body: Callable[[IncomingRequest], None],
    ) -> None:
        self._max_line_size, self._max_head_size = max_line_size, max_head_size
        self._requests, self._on_body = requests, on_body
        self.held = b""
        """Bytes received while the queue is full; they are not parsed before `resume`."""
        self._parser: httptools.HttpRequestParser | None = None  # made for the first head that is not cached
        self._refusal: StaticResponse | None = None
        self._request: IncomingRequest | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._fields_size = 0  # bytes of the headers that llhttp has passed on
        self.unfinished_size = 0
        """Bytes received of an unfinished head, or of the framing and the trailers of a body since its last byte."""
        self._now = 0.0
        self._has_begun = False  # whether a head began in the data that is parsed
        self._body_size = 0  # bytes of bodies in that data
        self.head_started_at: float | None = None
        """Arrival time of the first byte of a head that is incomplete, or None."""
        self.has_failed = False
        """Whether a request was refused: nothing after it can be understood."""
        self.is_between_requests = True
        """Whether the next byte begins a request."""

    @property
    def is_in_body(self) -> bool:
        """Whether the body of the last request is incomplete."""
        return self._request is not None and not self._request.is_complete

    def close(self) -> None:
        """Ignore all further bytes, and release the memory: a reference cycle would keep it until a collection."""
        self.has_failed, self.is_between_requests, self.head_started_at = True, False, None
        self._target, self._headers, self.held, self.unfinished_size = b"", [], b"", 0
        self._parser = None

    def feed(self, data: bytes, now: float) -> None:
        """Parse bytes that arrived at `now`. Bytes after a refused or a last request are ignored."""
        if self.held:
            self.held += data
            return
        start = 0
        while start < len(data) and not self.has_failed:
            if start and self._requests.is_full:
                self.held, self.is_between_requests = data[start:], False
                break
            end = start + (8 * _SLICE if self.is_in_body else _SLICE)
            self._feed(data[start:end], now)
            start = end

    def resume(self, now: float) -> None:
        """Parse the bytes that wait."""
        data, self.held = self.held, b""
        self.feed(data, now)

    def _feed(self, data: bytes, now: float) -> None:
        self._now, self._has_begun, self._body_size = now, False, 0
        while data:
            try:
                self._parser = self._parser or httptools.HttpRequestParser(self)
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                self._parser = None  # the offer is ignored (RFC 9110, section 7.8)
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                if isinstance(error, httptools.HttpParserCallbackError) and self._refusal is None:
                    raise  # a bug in a callback
                if isinstance(error, httptools.HttpParserInvalidMethodError) and _UNKNOWN_METHOD.match(data):
                    self._refusal = responses.METHOD_NOT_IMPLEMENTED
                self._fail()
                return
        if self._request is not None and self._request.body and not self._request.is_complete:
            self._on_body(self._request)
        self.is_between_requests = self.head_started_at is None and (self._request is None or self._request.is_complete)
        if self.is_between_requests:
            return
        self.unfinished_size += self._count_unfinished(data)
        if self.unfinished_size > self._max_head_size:
            self._refusal = responses.HEADERS_TOO_LARGE
            self._fail()

    def _count_unfinished(self, data: bytes) -> int:
        """Return how many of these bytes belong to an unfinished head, or to the framing of an unfinished body."""
        if self.head_started_at is not None and self._has_begun:
            # The head follows the last blank line, and the bodies, if they follow that.
            return max(len(data) - (data.rfind(_HEAD_END) + 1) - self._body_size, 0)
        is_framing = self.is_in_body and not self._body_size
        return len(data) if is_framing or self.head_started_at is not None else 0

    def _fail(self) -> None:
        last, refusal = self._request, self._refusal or responses.MALFORMED_REQUEST
        arrived_at = self._now if self.head_started_at is None else self.head_started_at
        self.close()
        if last is not None and last.is_complete and last.head is not None and not last.head.keep_alive:
            return  # data after the last request of the connection
        if self.is_in_body and last is not None:
            last.refusal = refusal
            self._on_body(last)
            return
        self._requests.append(IncomingRequest(None, arrived_at, refusal=refusal))

    # The methods below are called by httptools. An exception in them ends `feed_data` with HttpParserError.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.head_started_at, self._has_begun = self._now, True
        self._target, self._headers = b"", []
        self._fields_size = self.unfinished_size = 0

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
        if size > MAX_FIELD_SIZE or len(self._headers) == MAX_HEADERS or self._fields_size > self._max_head_size:
            self._refuse(responses.HEADERS_TOO_LARGE)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Pass the request on."""
        parser, target = cast("httptools.HttpRequestParser", self._parser), self._target.decode()
        version = parser.get_http_version()
        headers = CIMultiDictProxy(_combine_lists(CIMultiDict(map(_decode_header, self._headers))))
        if version not in {"1.0", "1.1"}:
            self._refuse(responses.VERSION_NOT_SUPPORTED)
        if len(headers) != len(set(headers)) and any(len(headers.getall(name, ())) > 1 for name in _SINGLE):
            self._refuse(responses.MALFORMED_REQUEST)
        hosts = headers.getall("Host", ())
        if len(hosts) > 1 or (not hosts and version == "1.1") or (hosts and not _HOST.fullmatch(hosts[0])):
            self._refuse(responses.MALFORMED_REQUEST)
        encodings = headers.getall("Transfer-Encoding", ())
        # RFC 9112, section 6.1. llhttp accepts "chunkedx", and so would treat a body as another parser does not.
        if encodings and (version == "1.0" or [item.lower() for item in encodings] != ["chunked"]):
            self._refuse(responses.MALFORMED_REQUEST)
        if not target.startswith("/") and not _is_valid_target(target, parser.get_method()):
            self._refuse(responses.MALFORMED_REQUEST)
        head = RequestHead(
            parser.get_method().decode(),
            target,
            headers,
            version=version,
            keep_alive=parser.should_keep_alive(),
            is_upgrade=parser.should_upgrade(),
        )
        head_size, self.unfinished_size = len(self._target) + self._fields_size, 0
        if head_size > _MIN_WIDE_SIZE and not all(value.isascii() for _, value in self._headers):
            head_size *= 4  # a character of a text takes as many bytes as its widest one
        self._headers = []
        self._request = IncomingRequest(head, self.head_started_at or self._now, head_size=head_size)
        self.head_started_at = None
        self._requests.append(self._request)

    def on_body(self, data: bytes) -> None:
        """Add a part of the body."""
        self._body_size += len(data)
        self.unfinished_size = 0
        request = self._request
        if request is not None and request.refusal is None and request.head is not None:
            request.body += data
            request.body_size += len(data)
            request.chunk_count += 1
            has_small_chunks = request.body_size < MIN_CHUNK_SIZE * request.chunk_count and request.head.is_chunked
            if has_small_chunks and request.chunk_count > MAX_SMALL_CHUNKS:
                self._refuse(responses.MALFORMED_REQUEST)

    def on_message_complete(self) -> None:
        """End the body."""
        request, self.unfinished_size = self._request, 0
        if request is not None and request.head is not None:
            request.is_complete = True
            if request.head.has_body:
                self._on_body(request)

    def _refuse(self, refusal: StaticResponse) -> None:
        self._refusal = refusal
        raise _RefusedError


def _decode_header(header: tuple[bytes, bytes]) -> tuple[str, str]:
    return header[0].decode(), header[1].decode("utf-8", "surrogateescape").rstrip(" \t")


def _combine_lists(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Make one header of the repeated headers whose lines are parts of one list (RFC 9110, section 5.3)."""
    for name in _LISTS:
        values = headers.getall(name, ())
        if len(values) > 1:
            headers[name] = ", ".join(values)
    return headers


def _is_valid_target(target: str, method: bytes) -> bool:
    """Return whether a target that is no path is one of the other forms (RFC 9112, section 3.2).

    These are a whole URL, the `*` of OPTIONS, or the authority of CONNECT.
    """
    try:
        url = URL(target)
    except ValueError:
        return False
    return bool(url.scheme and url.host) or method == (b"OPTIONS" if target == "*" else b"CONNECT")
