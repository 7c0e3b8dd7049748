"""Answer cache that all replicas share in Redis. Its total size is bounded by `maxmemory` of Redis."""

from hashlib import blake2b
from typing import Final

import msgspec

from askd.models import Answer
from askd.redis_backend.client import BatchingRedisClient, RedisUnavailable

MAX_ANSWER_BYTES: Final = 64 << 10
"""Maximum size of a shared answer as JSON. Larger ones would delay the other commands on the connection."""
DEFAULT_TTL: Final = 86_400.0
"""Seconds for which an answer is kept if no TTL is configured. Finite, because versions come and go."""
_DIGEST_BYTES: Final = 20
"""Size of the digest of a key: collisions are not to be expected."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Answer).decode


class RedisCache:
    """Answers by key. Nothing is shared if the first part of the key, the answerer's version, is empty.

    During a rolling update replicas run different code; the version keeps their answers apart. Answers are stored as
    the JSON that clients receive, so a shared answer is rendered to the same bytes.

    `answerer` keeps the answers of several answerers of one server apart; empty if there is only one.
    """

    def __init__(
        self, redis: BatchingRedisClient, *, answerer: str = "", max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self._redis = redis
        self._answerer = answerer
        self._max_answer_bytes = max_answer_bytes

    async def get(self, key: tuple[str, ...]) -> Answer | None:
        """Return the answer, or None if it is not stored, not valid, or if Redis is unavailable."""
        if not key[0]:
            return None
        try:
            value = await self._redis.execute(("GET", self._redis_key(key)))
            return None if value is None else _decode(value)
        except (RedisUnavailable, msgspec.DecodeError):
            return None

    def put(self, key: tuple[str, ...], answer: Answer, ttl: float | None) -> None:
        """Store an answer in the background. Skipped if it is too large or cannot be encoded as JSON.

        Args:
            key: Version, question and parameters.
            answer: The answer.
            ttl: Seconds until the answer expires. None uses DEFAULT_TTL; 0 stores nothing.
        """
        ttl = DEFAULT_TTL if ttl is None else ttl
        if not key[0] or ttl <= 0:
            return
        try:
            value = _encode(answer)
        except (TypeError, ValueError, OverflowError):
            return
        if len(value) <= self._max_answer_bytes:
            self._redis.execute_in_background(("SET", self._redis_key(key), value, "PX", max(int(ttl * 1e3), 1)))

    def _redis_key(self, key: tuple[str, ...]) -> str:
        named_key = (self._answerer, *key) if self._answerer else key
        return "askd:answer:" + blake2b(repr(named_key).encode(), digest_size=_DIGEST_BYTES).hexdigest()
