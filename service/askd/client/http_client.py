"""Blocking HTTP client of one server, which measures the steps of a request and turns errors into `RequestFailed`.

The connection is made here step by step, because each step is measured and has its own errors. Responses are parsed
by the standard library.
"""

import contextlib
import http.client
import io
import socket
import ssl
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, Final, Self, cast
from urllib.parse import urlencode

import msgspec
from yarl import URL

from askd import __version__
from askd.client import errors
from askd.client.target import OutgoingRequest, ServerTarget

MAX_URL_LENGTH: Final = 4000
"""Characters of the longest URL that is sent; a longer question is sent as a form. Servers accept 8 KiB."""
CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP and TLS together; a reachable server takes a few milliseconds."""
MAX_BODY_SIZE: Final = 64 << 20
"""Maximum bytes of a response body."""
_CHUNK_SIZE: Final = 1 << 16


class Stopwatch:
    """Start and end of each step of a request, in seconds since its start. Each step begins when the last one ends."""

    def __init__(self) -> None:
        self.started_at = self._step_started_at = perf_counter()
        self.step = ""
        """The current step: name, connect, TLS, request, waiting or answer."""
        self.spans: dict[str, tuple[float, float]] = {}

    def begin(self, step: str) -> None:
        """End the current step, if any, and begin another."""
        now = perf_counter()
        if self.step:
            self.spans[self.step] = (self._step_started_at - self.started_at, now - self.started_at)
        self.step, self._step_started_at = step, now


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline, and counts the bytes."""

    def __init__(self, sock: socket.socket, deadline_at: float) -> None:
        self._sock = sock
        self._deadline_at = deadline_at
        self.byte_count = 0

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a buffered reader, as `http.client.HTTPResponse` asks its socket for one."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_time_left(self._deadline_at))
        size = self._sock.recv_into(buffer)
        self.byte_count += size
        return size


def _time_left(deadline_at: float) -> float:
    """Return the seconds until then. Raises TimeoutError."""
    seconds = deadline_at - perf_counter()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class Response:
    """A response whose headers have arrived. Its methods raise RequestFailed."""

    def __init__(self, session: "Session", url: URL, reader: _TimedReader, method: str) -> None:
        self.url = url
        self._session = session
        self._reader = reader
        self._response = http.client.HTTPResponse(reader, method=method)  # type: ignore[arg-type] # only `makefile` is used
        self._response.begin()
        self.status = self._response.status
        self.headers = cast("Mapping[str, str]", self._response.headers)
        self.version = "HTTP/1.1" if self._response.version == 11 else "HTTP/1.0"

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.status == 200 and self._response.headers.get_content_type() == "text/event-stream"

    @property
    def received_bytes(self) -> int:
        """Bytes of headers and body that have arrived."""
        return self._reader.byte_count

    def header_list(self, name: str) -> str:
        """Return all headers of this name, separated by commas."""
        return ", ".join(self._response.headers.get_all(name, []))

    def iter_chunks(self) -> Iterator[bytes]:
        """Yield the parts of the body as they arrive."""
        size = 0
        with self._session.translate_errors():
            while chunk := self._response.read1(_CHUNK_SIZE):
                yield chunk
                size += len(chunk)
                if size > MAX_BODY_SIZE:
                    error = f"the response is larger than {MAX_BODY_SIZE >> 20} MiB"
                    raise errors.unexpected_response(self.status, error)
            if self._response.length:  # `read1` does not report that the body is incomplete
                raise http.client.IncompleteRead(b"")
        self._session.stopwatch.begin("")
        if self._response.will_close:
            self._session.close()

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.iter_chunks())

    def read_successful(self) -> bytes:
        """Return the whole body of a response with status 200."""
        body = self.read()
        if self.status != 200:
            raise errors.failure_from_response(
                self.status, self.headers, decode_json_or_none(body), self._session.target
            )
        return body


class Session:
    """HTTP session with a server, for one thread. Closed at the end of its `with` block.

    Args:
        target: The server.
        keep_alive: Reuse one connection. By default, each request opens a new connection, so that every replica
            behind a Service gets requests.

    Raises:
        ValueError: The CA file cannot be used.
    """

    def __init__(self, target: ServerTarget, *, keep_alive: bool = False) -> None:
        self.target = target
        self.stopwatch = Stopwatch()
        """Steps of the current or the last request."""
        self.addresses: list[str] = []
        """Addresses of the host, in the order of the DNS response."""
        self.peer_address = ""
        """Address and port of the connection."""
        self.tls_version: str | None = None
        self.sent_bytes = 0
        self._keep_alive = keep_alive
        self._ssl_context = _create_ssl_context(target.ca_file)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: OutgoingRequest) -> Response:
        """Send a question, in the URL if it fits, otherwise as a form. Raises RequestFailed without a response."""
        pairs = [*request.parameters, ("q", request.question)]
        headers = {"Accept": request.accept}
        if self.target.token is not None:
            headers["Authorization"] = f"Bearer {self.target.token}"
        url = self.target.url / "ask" / request.name if request.name else self.target.url / "ask"
        url_with_query = url.with_query(pairs)
        if len(str(url_with_query)) <= MAX_URL_LENGTH:
            return self.send("GET", url_with_query, headers)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return self.send("POST", url, headers, urlencode(pairs).encode())

    def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Send any request, without following redirects. Raises RequestFailed without a response."""
        host = f"[{url.host}]" if ":" in (url.host or "") else url.raw_host
        lines = {
            "Host": host if url.is_default_port() else f"{host}:{url.port}",
            "User-Agent": f"askd/{__version__}",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive" if self._keep_alive else "close",
            **({"Content-Length": str(len(body))} if body else {}),
            **headers,
        }
        head = f"{method} {url.raw_path_qs} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        request = head.encode("latin-1") + body
        self.stopwatch, self.sent_bytes = Stopwatch(), len(request)
        deadline_at = self.stopwatch.started_at + self.target.timeout
        with self.translate_errors():
            if not self._keep_alive:
                self.close()
            sock = self._socket = self._socket or self._connect(url, deadline_at)
            self.stopwatch.begin("request")
            sock.settimeout(_time_left(deadline_at))
            sock.sendall(request)
            self.stopwatch.begin("waiting")
            response = Response(self, url, _TimedReader(sock, deadline_at), method)
            self.stopwatch.begin("answer")
            return response

    def _connect(self, url: URL, deadline_at: float) -> socket.socket:
        host, port = url.host or "", url.port
        deadline_at = min(deadline_at, perf_counter() + CONNECT_TIMEOUT)
        addresses = self._resolve(host, port)
        self.addresses = list(dict.fromkeys(str(address[0]) for *_, address in addresses))
        self.stopwatch.begin("connect")
        failure: OSError = OSError("no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                # An address that does not answer must leave time for the others.
                sock.settimeout(_time_left(deadline_at) / (len(addresses) - number))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer_host, peer_port = address[:2]
                self.peer_address = (
                    f"[{peer_host}]:{peer_port}" if ":" in str(peer_host) else f"{peer_host}:{peer_port}"
                )
                return self._start_tls(sock, host, deadline_at) if url.scheme == "https" else sock
            except BaseException as error:
                sock.close()
                if self.stopwatch.step == "TLS" or not isinstance(error, OSError):
                    raise
                failure = error
        raise failure

    def _resolve(self, host: str, port: int | None) -> Any:
        """Return the results of getaddrinfo. An IP address is not a step."""
        with contextlib.suppress(socket.gaierror):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        self.stopwatch.begin("name")
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    def _start_tls(self, sock: socket.socket, host: str, deadline_at: float) -> ssl.SSLSocket:
        self.stopwatch.begin("TLS")
        sock.settimeout(_time_left(deadline_at))
        tls_socket = self._ssl_context.wrap_socket(sock, server_hostname=host)
        self.tls_version = tls_socket.version()
        return tls_socket

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Close the connection and raise RequestFailed if an error occurs."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise errors.failure_from_exception(error, self.target, self.stopwatch.step, self.addresses) from error


def decode_json_or_none(body: bytes | str) -> Any:
    """Return the decoded JSON, or None if the body is not valid JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _create_ssl_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # includes SSLError
        invalid = isinstance(error, ssl.SSLError)
        problem = "contains no PEM certificate" if invalid else f"cannot be read ({error.strerror})"
        raise ValueError(f"{ca_file} {problem}: use the file of the CA that signed the server's certificate") from None
    return context
