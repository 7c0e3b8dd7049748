"""Failed requests of the client: the step that failed, the error, a hint for the user, and the exit code."""

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

from yarl import URL

from askd.client.target import DEFAULT_URL, ServerTarget
from askd.errors import AskdError
from askd.httpserver import port_owner

EXIT_NO_ANSWER: Final = 1
"""Exit code: the server does not know an answer."""
EXIT_USAGE_ERROR: Final = 2
"""Exit code: the question or an option is invalid."""
EXIT_UNREACHABLE: Final = 3
"""Exit code: the server cannot be reached, rejects the request, or fails."""

_MAX_SHOWN_LISTENERS: Final = 6
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - addresses of this machine
_PLAIN_HTTP_REASONS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}
"""OpenSSL's errors if the server does not answer with TLS."""
_HOST_MISMATCH_CODES: Final = {62, 64}
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_DNS_HINT: Final = (
    "check the spelling of the host and the DNS settings of this machine;\n"
    "the name of a Kubernetes Service resolves only inside the cluster: use `kubectl port-forward` from outside"
)
_PACKETS_DROPPED_HINT: Final = "a firewall or network policy may drop the packets, or the host is down"
_MISSING_TOKEN_HINT: Final = (
    "pass a token with --token-file; `askd token NAME` creates one for the server's --tokens-file"  # noqa: S105 - a hint
)
_UNKNOWN_TOKEN_HINT: Final = "check that the server's --tokens-file contains it; `askd token NAME` creates another"  # noqa: S105 - a hint
_CA_FILE_HINT: Final = "pass the CA that signed it with --ca-file"


class RequestFailed(AskdError):
    """A request without an answer.

    Args:
        exit_code: Exit code of the command.
        step: Step of the request that failed.
        error: Description of the failure.
        hint: How to fix it, lines for the user; may be empty.
        status: Status of the response; None if there was no response.
        problem: JSON body of the response, if any.
    """

    def __init__(
        self, exit_code: int, step: str, error: str, hint: str = "", *, status: int | None = None, problem: Any = None
    ) -> None:
        super().__init__(f"{step}: {error}")
        self.exit_code = exit_code
        self.step = step
        self.error = error
        self.hint = hint
        self.status = status
        self.problem = problem

    @property
    def message(self) -> str:
        """The error, and the hint in indented lines, for stderr."""
        return "\n".join([f"{self.step}: {self.error}", *(f"      {line}" for line in self.hint.splitlines())])

    def to_dict(self) -> dict[str, Any]:
        """Return the failure for `--json`."""
        failure = {"step": self.step, "error": self.error, "hint": self.hint, "status": self.status}
        return failure if self.problem is None else {**failure, "problem": self.problem}


def failure_from_exception(  # noqa: PLR0911 - one return for each class
    error: Exception, target: ServerTarget, step: str, addresses: Sequence[str]
) -> RequestFailed:
    """Return the failure for an exception. Subclasses are matched before their base classes.

    Args:
        error: An exception of a socket, of `ssl` or of `http.client`.
        target: The server.
        step: The step in which it was raised.
        addresses: Addresses of the server, if they are known.
    """
    url = target.url
    server = f"{url.host}:{url.port}"
    match error:
        case socket.gaierror():
            return _unreachable("name", f"{url.host} does not resolve ({_os_error_reason(error)})", _DNS_HINT)
        case TimeoutError() if step in {"name", "connect", "TLS"}:
            return _unreachable(step, f"the connection to {server} timed out", _PACKETS_DROPPED_HINT)
        case TimeoutError():
            hint = "increase --timeout, or check the server's load with `askd top`"
            return _unreachable(step, f"no complete response within {target.timeout:g} s", hint)
        case ssl.SSLCertVerificationError():
            return _certificate_failure(error, server)
        case OSError() if step == "TLS":
            return _tls_failure(error, url)
        case OSError() if step == "connect":
            return _connect_failure(error, url, addresses)
        case OSError() | http.client.IncompleteRead():  # the server may speak another protocol
            closed = f"{server} closed the connection before the response was complete"
            return _unreachable(step, closed, _other_scheme_hint(url))
    return _unreachable("answer", f"{server} does not speak HTTP", _other_scheme_hint(url))


def unexpected_response(status: int, error: str) -> RequestFailed:
    """Return the failure for a response that does not come from askd."""
    return _unreachable("answer", error, _base_url_hint("--url"), status=status)


def failure_from_response(status: int, headers: Mapping[str, str], problem: Any, target: ServerTarget) -> RequestFailed:
    """Return the failure for a response with an error status. `problem` is the JSON body, or None."""
    members = problem if isinstance(problem, Mapping) else {}
    problem_code = _get_string(members, "type").rpartition("#")[2]
    detail = _get_string(members, "detail") or f"the server responded with status {status}"
    exit_code, step, hint = _classify_response(status, problem_code, headers, members, target)
    request_id = headers.get("X-Request-Id")
    if status >= 500 and problem_code != "overloaded" and request_id:  # shed requests are logged as a sum, without ids
        hint = f"{hint}\nsee request id {request_id} in the server's log".strip()
    return RequestFailed(exit_code, step, detail, hint, status=status, problem=problem)


def _classify_response(
    status: int, problem_code: str, headers: Mapping[str, str], members: Mapping[str, Any], target: ServerTarget
) -> tuple[int, str, str]:
    """Return exit code, step and hint, by the code of the problem if it is known, otherwise by the status."""
    suggestions = _get_suggestions(members)
    by_code = {
        "no-answer": (
            EXIT_NO_ANSWER,
            "answer",
            "\n".join(["did you mean", *(f"  {text}" for text in suggestions)] if suggestions else []),
        ),
        "interrupted": (
            EXIT_NO_ANSWER,
            "answer",
            "the graph asks for input: answer in the same conversation, with --param thread=ID",
        ),
        "refused": (EXIT_NO_ANSWER, "answerer", ""),
        "answerer-failed": (EXIT_UNREACHABLE, "answerer", ""),
        "recursion-limit": (EXIT_UNREACHABLE, "answerer", ""),
    }
    token_hint = _UNKNOWN_TOKEN_HINT if target.token else _MISSING_TOKEN_HINT
    by_status = {
        **dict.fromkeys((400, 406, 413, 414, 415, 422), (EXIT_USAGE_ERROR, "question", "")),
        **dict.fromkeys((401, 403), (EXIT_UNREACHABLE, "token", token_hint)),
        **dict.fromkeys((404, 405), (EXIT_UNREACHABLE, "path", _base_url_hint(str(target.url)))),
        429: (EXIT_UNREACHABLE, "rate_limit", _retry_hint(headers)),
        504: (EXIT_UNREACHABLE, "deadline", ""),
    }
    if 300 <= status < 400:
        location = headers.get("Location", "an unknown location")
        return EXIT_UNREACHABLE, "path", f"the server redirects to {location}: use its URL with --url"
    return by_code.get(problem_code) or by_status.get(status) or (EXIT_UNREACHABLE, "server", _retry_hint(headers))


def _unreachable(step: str, error: str, hint: str = "", *, status: int | None = None) -> RequestFailed:
    return RequestFailed(EXIT_UNREACHABLE, step, error, hint, status=status)


def _os_error_reason(error: OSError) -> str:
    return str(error.strerror or error).rstrip(".").lower()


def _certificate_failure(error: ssl.SSLCertVerificationError, server: str) -> RequestFailed:
    hint = _CA_FILE_HINT
    if error.verify_code in _HOST_MISMATCH_CODES:
        hint = "use a host name that the certificate is valid for"
    return _unreachable("TLS", f"the certificate of {server} is not trusted ({error.verify_message.rstrip('.')})", hint)


def _tls_failure(error: OSError, url: URL) -> RequestFailed:
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return _unreachable("TLS", f"{url.host}:{url.port} closed the connection during the TLS handshake")
    if error.reason in _PLAIN_HTTP_REASONS:
        plain_url = str(url.with_scheme("http")).rstrip("/")
        return _unreachable("TLS", f"port {url.port} of {url.host} does not use TLS", f"use {plain_url}")
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return _unreachable("TLS", f"the TLS handshake with {url.host}:{url.port} failed ({reason})")


def _connect_failure(error: OSError, url: URL, addresses: Sequence[str]) -> RequestFailed:
    address = f"port {url.port} of {url.host}" + (f" ({', '.join(addresses)})" if [*addresses] != [url.host] else "")
    if isinstance(error, ConnectionRefusedError):
        return _unreachable("connect", f"nothing listens on {address}", _listener_hint(url))
    return _unreachable("connect", f"{address} cannot be reached ({_os_error_reason(error)})", _PACKETS_DROPPED_HINT)


def _base_url_hint(url: str) -> str:
    return f"check that {url} is the base URL of an askd server, including its --prefix"


def _listener_hint(url: URL) -> str:
    """Return a hint for a refused connection, with the listeners of this machine if the URL points to it."""
    start = f"start a server with `askd serve --port {url.port}`, or use another URL with --url"
    if url.host not in _LOCAL_HOSTS and url.host != socket.gethostname():
        return f"check that the server is running, and its port: askd's default is {DEFAULT_URL}"
    rows = [f"  {port:>5}  {process}" for port, process in port_owner.listening_ports("127.0.0.1")]
    if not rows:
        return start
    more = [f"  … and {len(rows) - _MAX_SHOWN_LISTENERS} more"] if len(rows) > _MAX_SHOWN_LISTENERS else []
    return "\n".join([start, "listening on this machine:", *rows[:_MAX_SHOWN_LISTENERS], *more])


def _other_scheme_hint(url: URL) -> str:
    if url.scheme == "http":
        return f"if the server uses HTTPS, use https://{url.host}:{url.port}; if it was shutting down, retry"
    return "if the server was shutting down, retry"


def _retry_hint(headers: Mapping[str, str]) -> str:
    """Return a hint from `Retry-After`, which is a number of seconds or a date (RFC 9110, section 10.2.3)."""
    wait = headers.get("Retry-After", "")
    if wait.isascii() and wait.isdigit():
        return f"retry in {wait} s"
    return f"retry at {wait}" if wait else ""


def _get_string(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


def _get_suggestions(members: Mapping[str, Any]) -> list[str]:
    value = members.get("suggestions")
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
