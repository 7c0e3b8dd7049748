"""The answers that all replicas share. Redis bounds them all by its own `maxmemory`; here, each is bounded."""

from hashlib import blake2b
from typing import Final

import msgspec

from service.models import Answer
from service.shared.line import Away, Line

LARGEST: Final = 64 << 10
"""Bytes of the largest answer that is shared: it takes its time to move, and others wait behind it on the line."""
DAY: Final = 86_400.0
"""Seconds."""
_DIGEST: Final = 20
"""Bytes of a key's digest: two questions that share one are not to be expected."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Answer).decode


class SharedCache:
    """Answers by key. The first part of a key is the answerer's version: without one, nothing is shared.

    Other replicas may run other code during a roll-out; the version is what tells their answers apart. Answers are
    kept as the JSON that clients get, so that one from here is rendered to the same bytes.
    """

    def __init__(self, line: Line, *, largest: int = LARGEST) -> None:
        self._line = line
        self._largest = largest

    async def get(self, key: tuple[str, ...]) -> Answer | None:
        """Return the answer under this key; None where there is none, or Redis is away."""
        if not key[0]:
            return None
        try:
            found = await self._line.ask(("GET", _named(key)))
            return None if found is None else _decode(found)
        except (Away, msgspec.DecodeError):
            return None

    def put(self, key: tuple[str, ...], answer: Answer, ttl: float | None) -> None:
        """Keep an answer for `ttl` seconds, sent in the background; None: for a day, as versions come and go.

        What is too large, or no JSON, is not kept.
        """
        ttl = DAY if ttl is None else ttl
        if not key[0] or ttl <= 0:
            return
        try:
            value = _encode(answer)
        except (TypeError, ValueError, OverflowError):
            return
        if len(value) <= self._largest:
            self._line.tell(("SET", _named(key), value, "PX", max(int(ttl * 1e3), 1)))


def _named(key: tuple[str, ...]) -> str:
    return "askd:answer:" + blake2b(repr(key).encode(), digest_size=_DIGEST).hexdigest()
