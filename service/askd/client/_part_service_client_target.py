"""Whom a client asks, and as whom: the address and the token, read and checked before anything is sent."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from yarl import URL

DEFAULT: Final = "http://localhost:2024"
LONGEST: Final = 4000
"""Characters of the longest address that is sent; beyond, the question goes into a body. Servers take 8 KiB."""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class Target(NamedTuple):
    """A server: the URL that its paths stand below, without a slash at the end, and what it needs to let us in."""

    url: URL
    token: str | None = None
    ca_file: str | None = None
    """File with the certificates, PEM, that are trusted; None: those that this machine trusts."""
    timeout: float = 60.0
    """Seconds for the whole."""


class Wanted(NamedTuple):
    """A question with its parameters, as text; `accept` is the media type that is asked for."""

    question: str
    parameters: Sequence[tuple[str, str]] = ()
    accept: str = "application/json"


def address(text: str) -> URL:
    """Read a server's URL; `host:port` alone is http. Raises ValueError that says what to give."""
    try:
        url = URL(text if _SCHEME.match(text) else f"http://{text}")
        known = bool(url.scheme in {"http", "https"} and url.host and url.port)
    except ValueError:
        url, known = URL(), False
    if not known or url.query_string or url.fragment:
        raise ValueError(f"{text!r} is no address of a server: give one such as {DEFAULT}")
    if url.user is not None or url.password is not None:
        raise ValueError("an address has no place for secrets: give the token in a file, with --token-file")
    return URL(str(url).rstrip("/").removesuffix("/ask").rstrip("/"), encoded=True)


def token(file: str | None) -> str | None:
    """Read the token in a file; None: there is no file. Raises ValueError that says what is wrong with it."""
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="ascii").strip()
    except OSError as fault:
        raise ValueError(f"{file} cannot be read ({fault.strerror}): give a file with the token in it") from None
    except UnicodeDecodeError:
        text = ""
    if not _TOKEN.fullmatch(text):
        what = "is empty" if not text else "holds no token, or more than one"
        raise ValueError(f"{file} {what}: give the file of `askd token NAME 2> FILE`, with the token alone in it")
    return text


def parameter(text: str) -> tuple[str, str]:
    """Read `name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not name or name == "q":
        raise ValueError(f"{text!r} is no parameter: give name=value, such as thread=17")
    return name, value
