"""Answer cache of one replica: bounded in bytes and in time, evicting the least recently used answers first.

NoAnswer errors are cached too, for a few seconds and in a tenth of the capacity. The number of
questions without an answer is unlimited, and they would otherwise evict the answers.

The cache knows neither HTTP nor how keys are made. It is not thread-safe, except for `statistics`.
"""

import enum
import gc
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final, Generic, TypeVar

import msgspec

from askd.errors import NoAnswer
from askd.models import Answer

ENTRY_OVERHEAD: Final = 280
"""Bytes per entry in addition to a tuple of key and answer: 64 for a float and an int, and up to 216 for the node and
slots of an OrderedDict that has just grown (CPython 3.11 to 3.14, 64 bits)."""
MAX_ENTRY_DIVISOR: Final = 10
"""One answer takes at most a tenth of the capacity, and so do all NoAnswer entries together."""
NO_ANSWER_TTL: Final = 5.0
"""Seconds for which a NoAnswer is cached: long enough for concurrent requests and retries, and short enough not
to surprise an author who has just added the answer."""

_LEAF_TYPES: Final = frozenset({str, bytes, int, float})
"""Types of most objects, which reference no others."""
_SHARED_TYPES: Final = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""Types of objects that are reachable from every value, but belong to none."""
_SINGLETON_IDS: Final = frozenset({id(None), id(True), id(False), id("")})

T = TypeVar("T")


class CacheDirectives(msgspec.Struct, frozen=True, kw_only=True):
    """`Cache-Control` directives of a request (RFC 9111, section 5.2.1)."""

    no_cache: bool = False
    """Call the answerer even if the answer is cached."""
    no_store: bool = False
    """Do not cache the answer."""
    only_if_cached: bool = False
    """Do not call the answerer."""
    max_age: float = float("inf")
    """Maximum age of a cached answer, in seconds."""


NO_DIRECTIVES: Final = CacheDirectives()
"""Directives of a request without `Cache-Control`, which most requests are."""


class MissReason(enum.Enum):
    """Why a lookup returned no entry."""

    ABSENT = "absent"
    EXPIRED = "expired"
    """The entry was older than its TTL."""
    BYPASSED = "bypassed"
    """The request did not want a cached answer, or only a younger one."""
    DISABLED = "disabled"
    """The capacity is 0."""


class CacheHit(msgspec.Struct, frozen=True, gc=False):
    """A cached answer, or a cached NoAnswer (`answer` is None)."""

    answer: Answer | None
    suggestions: tuple[str, ...]
    """Suggestions of a NoAnswer: similar questions that have an answer."""
    age: float
    """Age in seconds."""
    lifetime: float
    """Age in seconds at which the entry expires; may be infinite."""

    @property
    def remaining_ttl(self) -> float | None:
        """Seconds until the entry expires. None if it never does."""
        return None if self.lifetime == math.inf else self.lifetime - self.age

    def make_no_answer_error(self) -> NoAnswer:
        """Return a new error each time, because raising an exception modifies it."""
        return NoAnswer(self.suggestions)


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Lookups and evictions since the start, and the current size."""

    hits: int
    misses: int
    expired: int
    """Lookups that found only an expired entry."""
    bypassed: int
    """Lookups that were skipped or useless because of the request's directives."""
    evicted: int
    """Entries that were removed before they expired to make room; many of them call for more capacity."""
    entries: int
    size: int
    """Bytes in use."""
    capacity: int
    """Maximum number of bytes."""


class AnswerCache:
    """Answers by key.

    The key must cover everything that affects the answer: the exact text, the parameters with their types, and the
    answerer's version from *before* the call, so that a reload never serves an old answer. Cached answers are returned
    to many requests and must not be modified.

    Args:
        capacity: Maximum size in bytes of memory, keys included. 0 disables the cache.
        ttl: Seconds after which an answer expires. None keeps answers without limit.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, capacity: int, *, ttl: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        lifetime = math.inf if ttl is None else ttl
        self.ttl = ttl
        self._capacity = capacity
        self._clock = clock
        self._answers = _Segment[Answer](lifetime)
        self._no_answers = _Segment[tuple[str, ...]](min(lifetime, NO_ANSWER_TTL))
        self._hits = self._misses = self._expired = self._bypassed = self._evicted = 0

    def get(self, key: Hashable, max_age: float = math.inf) -> CacheHit | MissReason:
        """Return the entry if it is at most `max_age` seconds old, or the reason for the miss."""
        if not self._capacity:
            return MissReason.DISABLED
        segment = self._answers
        entry = segment.entries.get(key)
        if entry is None:
            return self._get_no_answer(key, max_age)
        age = self._clock() - entry[1]
        if age >= segment.lifetime or age > max_age:
            return self._record_stale(segment, key, age)
        segment.entries.move_to_end(key)
        self._hits += 1
        return CacheHit(entry[0], (), age, segment.lifetime)

    def revalidate(self, key: Hashable, answer: Answer) -> CacheHit | None:
        """Return the entry, counted as a hit, if it still holds this very object; otherwise None, without counting."""
        segment = self._answers
        entry = segment.entries.get(key)
        if entry is None or entry[0] is not answer:
            return None
        age = self._clock() - entry[1]
        if age >= segment.lifetime:
            return None
        segment.entries.move_to_end(key)
        self._hits += 1
        return CacheHit(answer, (), age, segment.lifetime)

    def record_bypass(self) -> MissReason:
        """Count a request that skips the lookup because of `no-cache`. Returns the reason, as `get` does."""
        if not self._capacity:
            return MissReason.DISABLED
        self._bypassed += 1
        return MissReason.BYPASSED

    def put(self, key: Hashable, answer: Answer) -> bool:
        """Store an answer and replace the previous entry. Returns False if the answer is too large."""
        return self._put(self._answers, key, answer)

    def put_no_answer(self, key: Hashable, error: NoAnswer) -> bool:
        """Store for a short time that the answerer has no answer.

        Returns False if the entry is too large, or for a subclass, which may have attributes that would be lost.
        """
        return type(error) is NoAnswer and self._put(self._no_answers, key, tuple(error.extensions["suggestions"]))

    def statistics(self) -> CacheStatistics:
        """Return the statistics. Safe to call from any thread."""
        return CacheStatistics(
            hits=self._hits,
            misses=self._misses,
            expired=self._expired,
            bypassed=self._bypassed,
            evicted=self._evicted,
            entries=len(self._answers.entries) + len(self._no_answers.entries),
            size=self._answers.size + self._no_answers.size,
            capacity=self._capacity,
        )

    def _get_no_answer(self, key: Hashable, max_age: float) -> CacheHit | MissReason:
        segment = self._no_answers
        entry = segment.entries.get(key)
        if entry is None:
            self._misses += 1
            return MissReason.ABSENT
        age = self._clock() - entry[1]
        if age >= segment.lifetime or age > max_age:
            return self._record_stale(segment, key, age)
        self._hits += 1
        return CacheHit(None, entry[0], age, segment.lifetime)

    def _record_stale(self, segment: "_Segment[T]", key: Hashable, age: float) -> MissReason:
        if age < segment.lifetime:  # older than the request's max-age only: others may still use it
            return self.record_bypass()
        segment.remove(key)
        self._expired += 1
        return MissReason.EXPIRED

    def _put(self, segment: "_Segment[T]", key: Hashable, value: T) -> bool:
        max_size = self._capacity // MAX_ENTRY_DIVISOR
        if max_size < ENTRY_OVERHEAD:
            return False
        self._answers.remove(key)
        self._no_answers.remove(key)
        size = ENTRY_OVERHEAD + memory_size((key, value), max_size)
        if size > max_size:
            return False
        now = self._clock()
        segment.entries[key] = (value, now, size)
        segment.size += size
        self._evict(now, max_size)
        return True

    def _evict(self, now: float, max_no_answers_size: int) -> None:
        """Remove NoAnswer entries that have expired or exceed their share, then answers if there is still no room."""
        answers, no_answers = self._answers, self._no_answers
        while no_answers.size > max_no_answers_size or (
            no_answers.entries and now - no_answers.oldest_stored_at() >= no_answers.lifetime
        ):
            self._evicted += now - no_answers.pop_oldest() < no_answers.lifetime
        while answers.size + no_answers.size > self._capacity:
            self._evicted += now - answers.pop_oldest() < answers.lifetime


class _Segment(Generic[T]):
    """Entries in order of eviction: value, time of storing, and size in bytes."""

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self.size = 0
        self.entries: OrderedDict[Hashable, tuple[T, float, int]] = OrderedDict()

    def remove(self, key: Hashable) -> None:
        """Remove an entry if it exists."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= entry[2]

    def oldest_stored_at(self) -> float:
        """Return when the next entry to evict was stored."""
        return next(iter(self.entries.values()))[1]

    def pop_oldest(self) -> float:
        """Remove the next entry to evict, and return when it was stored."""
        _, (_, stored_at, size) = self.entries.popitem(last=False)
        self.size -= size
        return stored_at


def memory_size(value: object, limit: int = sys.maxsize) -> int:
    """Return the bytes of memory of `value` and all objects in it, each counted once; stop once `limit` is exceeded.

    Objects are found through `gc.get_referents`, so instances of any class are measured, and rounded up to 16 bytes,
    the granularity of CPython's allocator. Objects that are shared with other values, such as field names, count in
    full: the result is an upper estimate.
    """
    total = 0
    pending, visited_ids = [value], set(_SINGLETON_IDS)
    while pending and total <= limit:
        item = pending.pop()
        if id(item) in visited_ids:
            continue
        visited_ids.add(id(item))
        if type(item) not in _LEAF_TYPES:
            if isinstance(item, _SHARED_TYPES):
                continue
            referents = gc.get_referents(item)
            pending += referents
            if isinstance(item, dict):  # get_referents omits the keys if all of them are strings
                pending += dict.keys(item)
            if type(item).__dictoffset__:  # getsizeof omits the attributes
                total += 16 + 8 * len(referents)
        total += (sys.getsizeof(item) + 15) & -16
    return total
