"""The cache: answers of deterministic code, bounded in bytes and in time, least recently used out first.

That there is no answer is kept as well, for a few seconds and in a tenth of the room: questions without an answer are
endless, and would otherwise sweep out those that have one.

Pure: it knows neither HTTP nor what makes two questions the same. Not for several threads, but for `statistics`.
"""

import enum
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import msgspec

from service.errors import NoAnswer
from service.guards.weight import weight
from service.models import Answer

OVERHEAD: Final = 280
"""Bytes that an entry takes beside a tuple of its key and answer: 64 for a float and an int, up to 216 for its node and
slots in an OrderedDict that has just grown (CPython 3.11 to 3.14, 64 bits)."""
SHARE: Final = 10
"""Part of the capacity that one answer may take at most, and all no-answers together: a tenth."""
NO_ANSWER_TTL: Final = 5.0
"""Seconds for which a no-answer is kept: enough for everybody who asks at once and for clients that ask again, short
enough that a person who has just added the answer does not look for a fault."""

T = TypeVar("T")


class Missed(enum.Enum):
    """Why nothing was taken from the cache."""

    ABSENT = "absent"
    EXPIRED = "expired"
    """It was there, and older than the TTL."""
    UNWANTED = "unwanted"
    """The client wanted none from the cache, or none as old as that."""
    OFF = "off"
    """The cache keeps nothing: it has no room."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What was found: an answer, or (`answer` None) that there is none. `age` is in seconds, as is `life`."""

    answer: Answer | None
    suggestions: tuple[str, ...]
    """Questions that have an answer, where this one has none."""
    age: float
    life: float
    """The age at which it is not given any more; infinite: it has no end."""

    @property
    def ttl(self) -> float | None:
        """Seconds for which it will still be given; None: no end."""
        return None if self.life == math.inf else self.life - self.age

    def no_answer(self) -> NoAnswer:
        """Make the error for where there is no answer; a new one each time, as raising an error changes it."""
        return NoAnswer(self.suggestions)


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache holds and has done: counts, and sizes in bytes."""

    hits: int
    misses: int
    expired: int
    """Look-ups that found nothing but what was too old to be given."""
    bypassed: int
    """Look-ups not made, or of no use, because the client said so."""
    evicted: int
    """Entries that made room for others before their time; many of them ask for more capacity."""
    entries: int
    size: int
    capacity: int


class Cache:
    """Answers by key. `capacity` is in bytes of keys and answers, all that they take in memory; 0 turns it off.

    `ttl` is the age in seconds from which an answer is not given any more; None: no end. `clock` returns seconds that
    only rise. The caller puts into the key whatever makes two questions the same: the exact text as it was decoded,
    the parameters with their types, and the answerer's version as it was *before* the call, so that a reloaded
    answerer never gives an old answer. What is kept is given to many: nobody may change it.
    """

    def __init__(self, capacity: int, *, ttl: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        life = math.inf if ttl is None else ttl
        self.ttl = ttl
        self._capacity = capacity
        self._clock = clock
        self._answers = _Shelf[Answer](life)
        self._no_answers = _Shelf[tuple[str, ...]](min(life, NO_ANSWER_TTL))
        self._hits = self._misses = self._expired = self._bypassed = self._evicted = 0

    @property
    def on(self) -> bool:
        """Whether anything is ever kept; if not, a caller may spare itself the key."""
        return self._capacity > 0

    def get(self, key: Hashable, max_age: float = math.inf) -> Kept | Missed:
        """Return what is kept under this key and is not older than `max_age` seconds, or why nothing is."""
        if not self._capacity:
            return Missed.OFF
        shelf = self._answers
        entry = shelf.entries.get(key)
        if entry is None:
            return self._get_no_answer(key, max_age)
        age = self._clock() - entry[1]
        if age >= shelf.life or age > max_age:
            return self._refused(shelf, key, age)
        shelf.entries.move_to_end(key)
        self._hits += 1
        return Kept(entry[0], (), age, shelf.life)

    def again(self, key: Hashable, answer: Answer) -> Kept | None:
        """Return what `get` does where this very answer is still given under this key, else None, and count nothing."""
        shelf = self._answers
        entry = shelf.entries.get(key)
        if entry is None or entry[0] is not answer:
            return None
        age = self._clock() - entry[1]
        if age >= shelf.life:
            return None
        shelf.entries.move_to_end(key)
        self._hits += 1
        return Kept(answer, (), age, shelf.life)

    def bypass(self) -> Missed:
        """Count a question that did not look here because its client said so; returns the reason, as `get` does."""
        if not self._capacity:
            return Missed.OFF
        self._bypassed += 1
        return Missed.UNWANTED

    def put(self, key: Hashable, answer: Answer) -> bool:
        """Keep an answer instead of what was under this key; returns False where it is too large to be kept."""
        return self._put(self._answers, key, answer)

    def put_no_answer(self, key: Hashable, error: NoAnswer) -> bool:
        """Keep for a short time that there is no answer; returns False for a subclass, which may say more than that."""
        return type(error) is NoAnswer and self._put(self._no_answers, key, tuple(error.members["suggestions"]))

    def statistics(self) -> CacheStatistics:
        """Return what is counted now; safe from any thread."""
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

    def _get_no_answer(self, key: Hashable, max_age: float) -> Kept | Missed:
        shelf = self._no_answers
        entry = shelf.entries.get(key)
        if entry is None:
            self._misses += 1
            return Missed.ABSENT
        age = self._clock() - entry[1]
        if age >= shelf.life or age > max_age:
            return self._refused(shelf, key, age)
        self._hits += 1
        return Kept(None, entry[0], age, shelf.life)

    def _refused(self, shelf: "_Shelf[T]", key: Hashable, age: float) -> Missed:
        if age < shelf.life:
            return self.bypass()
        shelf.drop(key)
        self._expired += 1
        return Missed.EXPIRED

    def _put(self, shelf: "_Shelf[T]", key: Hashable, found: T) -> bool:
        most = self._capacity // SHARE
        if most < OVERHEAD:
            return False
        self._answers.drop(key)
        self._no_answers.drop(key)
        size = OVERHEAD + weight((key, found), most)
        if size > most:
            return False
        now = self._clock()
        shelf.entries[key] = (found, now, size)
        shelf.size += size
        self._make_room(now, most)
        return True

    def _make_room(self, now: float, most: int) -> None:
        """Let no-answers go whose time is over, and the oldest of them beyond their share; then answers."""
        answers, others = self._answers, self._no_answers
        while others.size > most or (others.entries and now - others.oldest() >= others.life):
            self._evicted += now - others.pop() < others.life
        while answers.size + others.size > self._capacity:
            self._evicted += now - answers.pop() < answers.life


class _Shelf(Generic[T]):
    """Entries in the order in which they go: what was found, since when, and bytes. `life` is in seconds."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.size = 0
        self.entries: OrderedDict[Hashable, tuple[T, float, int]] = OrderedDict()

    def drop(self, key: Hashable) -> None:
        """Remove what is under this key, if anything."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= entry[2]

    def oldest(self) -> float:
        """Return since when the next to go has been there."""
        return next(iter(self.entries.values()))[1]

    def pop(self) -> float:
        """Remove the next to go; returns since when it was there."""
        _, (_, since, size) = self.entries.popitem(last=False)
        self.size -= size
        return since
