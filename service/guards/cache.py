"""The cache: answers of deterministic code, bounded in bytes, least recently used out first."""

from collections import OrderedDict
from collections.abc import Hashable

import msgspec

from service.models import Answer

OVERHEAD = 300
"""Bytes that an entry takes beside its texts: measured, objects and table slots of CPython 3.11 to 3.13."""


class CacheStatistics(msgspec.Struct, frozen=True):
    """What the cache holds and has done: counts, and sizes in bytes."""

    hits: int
    misses: int
    entries: int
    size: int
    capacity: int


class Cache:
    """Answers by key. `capacity` is in bytes of keys and answers; 0 turns it off.

    The caller puts into the key whatever makes two questions the same, the answerer's version included, so that a
    reloaded answerer never gets an old answer.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, tuple[Answer, int]] = OrderedDict()
        self._size = self._hits = self._misses = 0

    def get(self, key: Hashable) -> Answer | None:
        """Return the answer under this key, or None."""
        found = self._entries.get(key)
        if found is None:
            self._misses += 1
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return found[0]

    def put(self, key: Hashable, answer: Answer, size: int) -> None:
        """Keep an answer of `size` bytes, key included; one larger than a tenth of the capacity is not kept."""
        size += OVERHEAD
        if size > self._capacity // 10:
            return
        if old := self._entries.pop(key, None):
            self._size -= old[1]
        self._entries[key] = (answer, size)
        self._size += size
        while self._size > self._capacity:
            self._size -= self._entries.popitem(last=False)[1][1]

    def statistics(self) -> CacheStatistics:
        """Return what is counted now; safe from any thread."""
        return CacheStatistics(self._hits, self._misses, len(self._entries), self._size, self._capacity)
