"""Why no answer came: what a client library raises, and what a server says, as step, fault and mend for a person."""

import errno
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from service import holders
from service.client.failed import BAD_USE, NO_ANSWER, UNREACHED, Failed
from service.client.marks import Marks
from service.client.target import DEFAULT, Target

_SHOWN: Final = 6
"""Listeners of this machine that are told of."""
_LOCAL: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - names that lead to this machine


def unreached(error: Exception, target: Target, marks: Marks) -> Failed:  # noqa: PLR0911 - one return for each class
    """Return the failure for what the library raised; most special first, for the classes are each other's."""
    url = target.url
    where = f"{url.host}:{url.port}"
    match error:
        case aiohttp.ClientConnectorDNSError():
            return _failed("name", f"{url.host} does not resolve ({_reason(error.os_error)})", _SPELLING)
        case aiohttp.ClientConnectorCertificateError():
            return _untrusted(error.certificate_error, where)
        case aiohttp.ClientSSLError():
            return _insecure(error, url)
        case aiohttp.ClientConnectorError():
            return _refused(error.os_error, url, marks)
        case TimeoutError() if marks.sent is None:
            return _failed(marks.step, f"{where} took no connection in time", _DROPPED)
        case TimeoutError():
            fault = f"no whole answer within {target.timeout:g} s"
            return _failed(marks.step, fault, "allow more with --timeout, or see `askd top` for how busy it is")
        case aiohttp.ClientResponseError() | ValueError():
            return _failed("answer", f"what listens at {where} does not speak HTTP", _other(url))
    return _failed(marks.step, f"{where} closed the connection before its answer was whole", _other(url))


def senseless(status: int, fault: str) -> Failed:
    """Return the failure for a response that is none of askd's."""
    return _failed("answer", fault, "see whether --url names a server of askd, up to its --prefix", status=status)


def refused(status: int, headers: Mapping[str, str], problem: Any, target: Target) -> Failed:
    """Return the failure for a status that is none of success. `problem`: the body's JSON, or None."""
    said = problem if isinstance(problem, Mapping) else {}
    kind, detail = _text(said, "type").rpartition("#")[2], _text(said, "detail") or f"the server answered {status}"
    code, step, mend = _meaning(status, kind, headers, said, target)
    if status >= 500 and kind != "overloaded" and (id := headers.get("X-Request-Id")):  # what is shed is logged in sum
        mend = f"{mend}\nits log has more under id {id}".strip()
    return Failed(code, step, detail, mend, status=status, problem=problem)


def _meaning(
    status: int, kind: str, headers: Mapping[str, str], said: Mapping[str, Any], target: Target
) -> tuple[int, str, str]:
    """Return exit code, step and mend: by what the problem says it is, else by its status."""
    texts = _texts(said)
    kinds = {
        "no-answer": (
            NO_ANSWER,
            "answer",
            "\n".join(["did you mean", *(f"  {text}" for text in texts)] if texts else []),
        ),
        "interrupted": (NO_ANSWER, "answer", "answer what it asks in the same conversation, with --param thread=…"),
        "refused": (NO_ANSWER, "code", ""),
        "answerer-failed": (UNREACHED, "code", ""),
        "recursion-limit": (UNREACHED, "code", ""),
    }
    path = f"see whether {target.url} is a server of askd, up to its --prefix"
    token = _UNKNOWN if target.token else _TOKEN
    statuses = {
        **dict.fromkeys((400, 406, 413, 414, 415, 422), (BAD_USE, "question", "")),
        **dict.fromkeys((401, 403), (UNREACHED, "token", token)),
        **dict.fromkeys((404, 405), (UNREACHED, "path", path)),
        429: (UNREACHED, "rate", _again(headers)),
        504: (UNREACHED, "deadline", ""),
    }
    if 300 <= status < 400:
        to = headers.get("Location", "nowhere")
        return UNREACHED, "path", f"it points to {to}: give that server with --url"
    return kinds.get(kind) or statuses.get(status) or (UNREACHED, "server", _again(headers))


_SPELLING: Final = (
    "see how it is spelled, and whether this machine can look names up;\n"
    "a Service of Kubernetes has its name inside the cluster only: use `kubectl port-forward` from outside"
)
_DROPPED: Final = "a firewall or a network policy may drop what is sent there, or the machine is down"
_TOKEN: Final = "give one with --token-file; `askd token NAME` makes one, for the server's --tokens-file"  # noqa: S105 - a hint
_UNKNOWN: Final = "see whether the server's --tokens-file has it; `askd token NAME` makes another"
_TRUST: Final = "name the CA that signed it with --ca-file"


def _failed(step: str, fault: str, mend: str = "", *, status: int | None = None) -> Failed:
    return Failed(UNREACHED, step, fault, mend, status=status)


def _reason(error: OSError) -> str:
    return str(error.strerror or error).rstrip(".").lower()


def _untrusted(error: Exception, where: str) -> Failed:
    why = getattr(error, "verify_message", "") or str(error)
    named = getattr(error, "verify_code", None) in {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
    mend = "ask under a name that the certificate is for" if named else _TRUST
    return _failed("TLS", f"the certificate of {where} is not trusted ({why.rstrip('.')})", mend)


def _insecure(error: aiohttp.ClientSSLError, url: URL) -> Failed:
    cause = error.os_error
    reason = cause.reason if isinstance(cause, ssl.SSLError) and cause.reason else str(cause)
    if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}:
        plain = str(url.with_scheme("http")).rstrip("/")
        return _failed("TLS", f"what listens on port {url.port} of {url.host} speaks no TLS", f"ask {plain}")
    return _failed("TLS", f"no secure connection to {url.host}:{url.port} ({reason.lower().replace('_', ' ')})")


def _refused(error: OSError, url: URL, marks: Marks) -> Failed:
    place = f"port {url.port} of {url.host}" + (f" ({', '.join(marks.addresses)})" if marks.addresses else "")
    if isinstance(error, ConnectionRefusedError) or f"Errno {errno.ECONNREFUSED}]" in str(error):
        return _failed("connect", f"nothing listens on {place}", _who(url))
    if marks.securing is not None:
        return _failed("TLS", f"{url.host}:{url.port} closed the connection while it was being secured")
    return _failed("connect", f"{place} cannot be reached ({_reason(error)})", _DROPPED)


def _who(url: URL) -> str:
    """Tell who does listen, where the address is this machine's; else what may be wrong."""
    begin = f"start one with `askd serve --port {url.port}`, or name another with --url"
    if url.host not in _LOCAL and url.host != socket.gethostname():
        return f"see whether the server runs, and on which port: {DEFAULT} is where askd listens by itself"
    rows = [f"  {port:>5}  {who}" for port, who in holders.listening("127.0.0.1")]
    if not rows:
        return begin
    more = [f"  … and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return "\n".join([begin, "what listens on this machine:", *rows[:_SHOWN], *more])


def _other(url: URL) -> str:
    if url.scheme == "http":
        return f"if it serves HTTPS, ask https://{url.host}:{url.port}; if it was being stopped, ask again"
    return "if it was being stopped, ask again"


def _again(headers: Mapping[str, str]) -> str:
    """Return when to ask again. `Retry-After` is whole seconds, or a date (RFC 9110, section 10.2.3)."""
    wait = headers.get("Retry-After", "")
    if wait.isascii() and wait.isdigit():
        return f"ask again in {wait} s"
    return f"ask again at {wait}" if wait else ""


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _texts(found: Mapping[str, Any]) -> list[str]:
    value = found.get("suggestions")
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
