"""The server and the request of a client command, parsed and validated before anything is sent."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from yarl import URL

DEFAULT_URL: Final = "http://localhost:2024"
_SCHEME_PATTERN: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TOKEN_PATTERN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class ServerTarget(NamedTuple):
    """A server and how to connect to it."""

    url: URL
    """Base URL without a trailing slash."""
    token: str | None = None
    ca_file: str | None = None
    """PEM file with the trusted certificates; None trusts the system's certificates."""
    timeout: float = 60.0
    """Seconds for a whole request."""


class OutgoingRequest(NamedTuple):
    """A question with its parameters; `accept` is the requested media type."""

    question: str
    parameters: Sequence[tuple[str, str]] = ()
    accept: str = "application/json"
    name: str = ""
    """Name of the answerer, if the server has several; empty for that at /ask."""


def parse_url(text: str) -> URL:
    """Parse a server's URL; `host:port` means http. A trailing `/ask` is removed. Raises ValueError."""
    try:
        url = URL(text if _SCHEME_PATTERN.match(text) else f"http://{text}")
        valid = bool(url.scheme in {"http", "https"} and url.host and url.port)
    except ValueError:
        url, valid = URL(), False
    if not valid or url.query_string or url.fragment:
        raise ValueError(f"invalid server URL {text!r}: expected a URL such as {DEFAULT_URL}")
    if url.user is not None or url.password is not None:
        raise ValueError("the server URL contains credentials: expected a URL without them, and a --token-file")
    return URL(str(url).rstrip("/").removesuffix("/ask").rstrip("/"), encoded=True)


def read_token_file(file: str | None) -> str | None:
    """Return the token in a file, or None if `file` is None. Raises ValueError."""
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}): use a file that contains the token") from None
    except UnicodeDecodeError:
        text = ""
    if not _TOKEN_PATTERN.fullmatch(text):
        problem = "does not contain exactly one token" if text else "does not contain a token"
        raise ValueError(f"{file} {problem}: `askd token NAME 2> FILE` writes such a file")
    return text


def parse_parameter(text: str) -> tuple[str, str]:
    """Parse `name=value`. Raises ValueError, also for `q`, which is the question."""
    name, equals, value = text.partition("=")
    if not equals or not name or name == "q":
        raise ValueError(f"invalid parameter {text!r}: expected name=value, such as thread=17")
    return name, value
