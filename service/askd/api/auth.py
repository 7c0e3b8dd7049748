"""Access: whose token a request shows, as `Authorization: Bearer` (RFC 6750)."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Final

from service.errors import Unauthorized
from service.guards.tokens import Tokens
from service.telemetry.exchange import Exchange

REALM: Final = 'Bearer realm="askd"'
INVALID: Final = f'{REALM}, error="invalid_token"'
"""Where a token was shown; without one there is no error to tell of (RFC 6750, section 3.1)."""
HEADER: Final = "Authorization"

_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}=*)")
"""The scheme in any case (RFC 9110, section 11.1), then the token's own alphabet (RFC 6750, section 2.1)."""
_LONGEST: Final = 256
"""Characters of a thread's name, for which `parse.THREAD` has the reason."""
_MISSING: Final = "This needs a token. Send `Authorization: Bearer` and the token that you were given."
_UNKNOWN: Final = "This token is not known here. Send `Authorization: Bearer` and one that is in force."
_TWICE: Final = "There is more than one Authorization. Send one, with the token."


class Access:
    """Lets those in whose token is known."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def enter(self, headers: Mapping[str, str], exchange: Exchange) -> None:
        """Note on the exchange who asks, and how long it took to know. Raises Unauthorized."""
        started = perf_counter()
        try:
            exchange.caller = self.caller(headers)
        finally:
            exchange.stages.auth = perf_counter() - started

    def caller(self, headers: Mapping[str, str]) -> str:
        """Return the name of who asks, counted as one request. Raises Unauthorized.

        `headers` may be any mapping that finds a header as it is written in HTTP: `Authorization`.
        """
        header = headers.get(HEADER)
        shown = _BEARER.fullmatch(header) if header and not _repeated(headers) else None
        caller = self._tokens.caller(shown[1]) if shown else None
        if caller is None:
            raise self._refused(header, headers)
        return caller.name

    def _refused(self, header: str | None, headers: Mapping[str, str]) -> Unauthorized:
        """Tell what is missing, and nothing of what was shown."""
        if header is None or header.partition(" ")[0].lower() != "bearer":
            self._tokens.refused("missing")
            return Unauthorized(_MISSING, challenge=REALM)
        self._tokens.refused("unknown")
        return Unauthorized(_TWICE if _repeated(headers) else _UNKNOWN, challenge=INVALID)


def _repeated(headers: Mapping[str, str]) -> bool:
    """Whether there are two tokens, of which something before askd may have checked the other one."""
    every = getattr(headers, "getall", None)
    return every is not None and len(every(HEADER, ())) > 1


def scoped(thread: str, caller: str) -> str:
    """Return the name of a conversation that is this caller's alone, the same on every replica.

    No caller's name has a slash, so that the first one ends it whatever the thread is called. Where the whole would be
    longer than what answerers take, a hash stands for the thread.
    """
    name = f"{caller}/{thread}"
    return name if len(name) <= _LONGEST else f"{caller}//{hashlib.sha256(thread.encode()).hexdigest()}"


class Withheld(Mapping[str, str]):
    """The headers without the token, for the code that answers: it would stand in whatever that logs."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        if name.lower() == "authorization":
            raise KeyError(name)
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._headers if name.lower() != "authorization")

    def __len__(self) -> int:
        return sum(1 for _ in self)
