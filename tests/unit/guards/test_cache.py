"""The answer cache: bounded in bytes and in time, with least-recently-used eviction and brief NoAnswer entries."""

import gc
import json
import math
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from askd.errors import NoAnswer
from askd.guards.cache import (
    ENTRY_OVERHEAD,
    MAX_ENTRY_DIVISOR,
    NO_ANSWER_TTL,
    AnswerCache,
    CacheHit,
    MissReason,
    memory_size,
)
from askd.models import Answer
from tests.support.fakes import Clock

TTL = 2 * NO_ANSWER_TTL
CAPACITY = 20 * ENTRY_OVERHEAD * 3
KEYS = st.integers(0, 30)

ModelSegment = OrderedDict[int, tuple[Answer | tuple[str, ...], float, int]]
"""Value, time of storing and size by key."""


class CacheModel(RuleBasedStateMachine):
    """The cache compared with a simple model made of ordered dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = AnswerCache(CAPACITY, ttl=TTL, clock=self.clock)
        self.answers: ModelSegment = OrderedDict()
        self.no_answers: ModelSegment = OrderedDict()
        self.hits = self.misses = self.expired = self.bypassed = self.evicted = 0

    @rule(key=KEYS, length=st.integers(0, 4 * ENTRY_OVERHEAD))
    def put(self, key: int, length: int) -> None:
        """Store an answer; the least recently used ones are evicted."""
        answer = Answer("a" * length)
        self._put(self.answers, key, answer, stored=self.cache.put(key, answer))

    @rule(key=KEYS, length=st.integers(0, ENTRY_OVERHEAD))
    def put_no_answer(self, key: int, length: int) -> None:
        """Store a NoAnswer; older ones are evicted first."""
        error = NoAnswer(["a" * length])
        self._put(self.no_answers, key, ("a" * length,), stored=self.cache.put_no_answer(key, error))

    @rule(key=KEYS, max_age=st.sampled_from([math.inf, math.inf, 0.0, 1.0]))
    def get(self, key: int, max_age: float) -> None:
        """Look up an entry; an answer counts as used, a NoAnswer does not."""
        lookup = self.cache.get(key, max_age)
        segment, lifetime = (self.answers, TTL) if key in self.answers else (self.no_answers, NO_ANSWER_TTL)
        if key not in segment:
            self.misses += 1
            assert lookup is MissReason.ABSENT
            return
        value, stored_at, _ = segment[key]
        age = self.clock.now - stored_at
        if age >= lifetime:
            del segment[key]
            self.expired += 1
            assert lookup is MissReason.EXPIRED
        elif age > max_age:
            self.bypassed += 1
            assert lookup is MissReason.BYPASSED
        else:
            self.hits += 1
            assert isinstance(lookup, CacheHit)
            expected = (value, age, lifetime - age)
            assert (lookup.answer or lookup.suggestions, lookup.age, lookup.remaining_ttl) == expected
            if segment is self.answers:
                segment.move_to_end(key)

    @rule(seconds=st.integers(1, 4))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def matches_the_model(self) -> None:
        """Sizes add up and are within their bounds; entries, order and counters are those of the model."""
        statistics = self.cache.statistics()
        sizes = [sum(size for _, _, size in segment.values()) for segment in (self.answers, self.no_answers)]
        assert statistics.size == sum(sizes) <= statistics.capacity == CAPACITY
        assert sizes[1] <= CAPACITY // MAX_ENTRY_DIVISOR
        assert statistics.entries == len(self.answers) + len(self.no_answers)
        assert statistics.hits == self.hits
        assert statistics.misses == self.misses
        assert statistics.expired == self.expired
        assert statistics.bypassed == self.bypassed
        assert statistics.evicted == self.evicted
        assert list(self.cache._answers.entries) == list(self.answers)
        assert list(self.cache._no_answers.entries) == list(self.no_answers)

    def _put(self, segment: ModelSegment, key: int, value: Answer | tuple[str, ...], *, stored: bool) -> None:
        self.answers.pop(key, None)
        self.no_answers.pop(key, None)
        size = ENTRY_OVERHEAD + memory_size((key, value))
        assert stored == (size <= CAPACITY // MAX_ENTRY_DIVISOR)
        if not stored:
            return
        segment[key] = (value, self.clock.now, size)
        while (
            sum(size for _, _, size in self.no_answers.values()) > CAPACITY // MAX_ENTRY_DIVISOR
            or self._oldest_no_answer_expired()
        ):
            self._pop_oldest(self.no_answers, NO_ANSWER_TTL)
        while sum(size for entries in (self.answers, self.no_answers) for _, _, size in entries.values()) > CAPACITY:
            self._pop_oldest(self.answers, TTL)

    def _oldest_no_answer_expired(self) -> bool:
        stored_at = [stored_at for _, stored_at, _ in self.no_answers.values()]
        return bool(stored_at) and self.clock.now - stored_at[0] >= NO_ANSWER_TTL

    def _pop_oldest(self, segment: ModelSegment, lifetime: float) -> None:
        _, (_, stored_at, _) = segment.popitem(last=False)
        self.evicted += self.clock.now - stored_at < lifetime


CacheModel.TestCase.settings = settings(max_examples=80, stateful_step_count=60)
TestCacheModel = CacheModel.TestCase


@pytest.mark.parametrize("capacity", [0, 1, 9 * ENTRY_OVERHEAD])
def test_too_small_capacity_stores_nothing(capacity: int) -> None:
    """A capacity of 0, or one whose tenth is less than an entry, stores nothing."""
    cache = AnswerCache(capacity)
    assert not cache.put("key", Answer("a"))
    assert not cache.put_no_answer("key", NoAnswer())
    lookup, statistics = cache.get("key"), cache.statistics()
    assert (lookup, statistics.misses, statistics.size) == (
        (MissReason.DISABLED, 0, 0) if capacity == 0 else (MissReason.ABSENT, 1, 0)
    )


def test_disabled_cache_counts_nothing() -> None:
    """A disabled cache counts neither lookups nor bypasses."""
    cache = AnswerCache(0)
    assert [cache.get("key"), cache.record_bypass()] == [MissReason.DISABLED, MissReason.DISABLED]
    assert (cache.statistics().misses, cache.statistics().bypassed) == (0, 0)


def test_large_answer_does_not_evict_others() -> None:
    """An answer over a tenth of the capacity is not stored and evicts no other key; its old entry is removed."""
    cache = AnswerCache(CAPACITY)
    cache.put("small", Answer("a"))
    cache.put("large", Answer("b"))
    assert not cache.put("large", Answer("b" * (CAPACITY // MAX_ENTRY_DIVISOR)))
    assert isinstance(cache.get("small"), CacheHit)
    assert cache.get("large") is MissReason.ABSENT


def get_value(cache: AnswerCache, key: object) -> Answer | tuple[str, ...] | MissReason:
    """Return the answer, the suggestions of a NoAnswer, or the reason of a miss."""
    lookup = cache.get(key)
    if isinstance(lookup, MissReason):
        return lookup
    return lookup.suggestions if lookup.answer is None else lookup.answer


def test_answer_without_ttl_does_not_expire() -> None:
    """Without a TTL, an answer of any age is returned."""
    clock = Clock()
    cache = AnswerCache(1 << 20, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(1e9)
    lookup = cache.get("key")
    assert isinstance(lookup, CacheHit)
    assert (lookup.answer, lookup.age, lookup.remaining_ttl) == (Answer("a"), 1e9, None)


def test_ttl() -> None:
    """An answer is returned before its TTL and not at it; storing it again resets its age."""
    clock = Clock()
    cache = AnswerCache(1 << 20, ttl=10.0, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(9.0)
    assert get_value(cache, "key") == Answer("a")
    clock.advance(1.0)
    assert [get_value(cache, "key"), get_value(cache, "key")] == [MissReason.EXPIRED, MissReason.ABSENT]
    cache.put("key", Answer("b"))
    clock.advance(9.0)
    assert get_value(cache, "key") == Answer("b")
    assert cache.statistics().expired == 1


def test_revalidate() -> None:
    """`revalidate` returns a hit for this very object, until it expires or is replaced; it counts no misses."""
    clock = Clock()
    cache, answer = AnswerCache(10_000, ttl=10.0, clock=clock), Answer("a")
    assert cache.revalidate("key", answer) is None
    cache.put("key", answer)
    clock.advance(4.0)
    hit = cache.revalidate("key", answer)
    assert hit is not None
    assert (hit.answer, hit.age, hit.remaining_ttl) == (answer, 4.0, 6.0)
    assert cache.revalidate("key", Answer("a")) is None
    clock.advance(6.0)
    assert cache.revalidate("key", answer) is None
    statistics = cache.statistics()
    assert (statistics.hits, statistics.misses, statistics.expired, statistics.bypassed) == (1, 0, 0, 0)


@pytest.mark.parametrize(("ttl", "lifetime"), [(None, NO_ANSWER_TTL), (3600.0, NO_ANSWER_TTL), (1.0, 1.0)])
def test_no_answer_is_cached_briefly(ttl: float | None, lifetime: float) -> None:
    """A NoAnswer is cached with its suggestions for a few seconds, at most for the TTL; each hit makes a new error."""
    clock = Clock()
    cache = AnswerCache(1 << 20, ttl=ttl, clock=clock)
    assert cache.put_no_answer("key", NoAnswer(["What is a port?"]))
    hit = cache.get("key")
    assert isinstance(hit, CacheHit)
    assert (hit.answer, hit.remaining_ttl) == (None, lifetime)
    first, second = hit.make_no_answer_error(), hit.make_no_answer_error()
    assert first is not second
    assert first.extensions == second.extensions == NoAnswer(["What is a port?"]).extensions
    clock.advance(lifetime)
    assert cache.get("key") is MissReason.EXPIRED


def test_subclass_of_no_answer_is_not_cached() -> None:
    """A subclass of NoAnswer is not cached, because the cache would return its base class."""

    class CustomNoAnswer(NoAnswer):
        pass

    cache = AnswerCache(1 << 20)
    assert not cache.put_no_answer("key", CustomNoAnswer())
    assert cache.get("key") is MissReason.ABSENT


def test_last_stored_entry_wins() -> None:
    """An answer replaces a NoAnswer of the same key, and vice versa."""
    cache = AnswerCache(1 << 20)
    values = []
    for entry in (NoAnswer(["b"]), Answer("a"), NoAnswer(["c"])):
        assert cache.put("key", entry) if isinstance(entry, Answer) else cache.put_no_answer("key", entry)
        values.append((get_value(cache, "key"), cache.statistics().entries))
    assert values == [(("b",), 1), (Answer("a"), 1), (("c",), 1)]


def test_no_answers_do_not_evict_answers() -> None:
    """NoAnswer entries take at most a tenth of the capacity, and evict only one another."""
    cache = AnswerCache(100 * ENTRY_OVERHEAD * 2)
    for number in range(60):
        cache.put(number, Answer("a"))
    size_before = cache.statistics().size
    for number in range(10_000):
        cache.put_no_answer(f"no {number}", NoAnswer())
    statistics = cache.statistics()
    assert all(get_value(cache, key) == Answer("a") for key in range(60))
    assert statistics.size - size_before <= statistics.capacity // MAX_ENTRY_DIVISOR


def test_expired_no_answers_are_removed() -> None:
    """The next `put` removes expired NoAnswer entries, without counting them as evicted."""
    clock = Clock()
    cache = AnswerCache(1 << 20, clock=clock)
    for number in range(100):
        cache.put_no_answer(number, NoAnswer())
    clock.advance(NO_ANSWER_TTL)
    cache.put("key", Answer("a"))
    assert (cache.statistics().entries, cache.statistics().evicted) == (1, 0)


def test_max_age_does_not_remove_the_entry() -> None:
    """An answer older than the request's `max-age` counts as bypassed and is kept; one of that age is returned."""
    clock = Clock()
    cache = AnswerCache(1 << 20, clock=clock)
    cache.put("key", Answer("a"))
    clock.advance(2.0)
    assert [cache.get("key", 1.0), cache.record_bypass()] == [MissReason.BYPASSED, MissReason.BYPASSED]
    assert isinstance(cache.get("key", 2.0), CacheHit)
    assert (cache.statistics().bypassed, cache.statistics().hits) == (2, 1)


def short_answer(number: int) -> tuple[object, Answer]:
    """Return a key, and an answer of a few words."""
    return ("v1", f"question {number}", ""), Answer(f"answer {number}")


def long_answer(number: int) -> tuple[object, Answer]:
    """Return a key, and an answer of several pages in characters of two bytes."""
    return ("v1", f"question {number}", ""), Answer(f"{number} Ω " * 1000)


def answer_with_fields(number: int) -> tuple[object, Answer]:
    """Return a key, and an answer with JSON fields."""
    sources = [{"title": f"t {number} {part}", "rank": part + 1000 * number} for part in range(5)]
    fields = json.loads(json.dumps({"score": number / 7, "sources": sources, "sure": True}))
    return ("v1", f"question {number}", "[('lang', 'de')]"), Answer(f"answer {number}", fields)


class Source:
    """A user-defined class."""

    def __init__(self, number: int) -> None:
        self.title = f"title {number}"
        self.score = number / 7


def answer_with_objects(number: int) -> tuple[object, Answer]:
    """Return a key, and an answer with instances of a user-defined class."""
    sources = [Source(100 * number + part) for part in range(10)]
    return ("v1", f"question {number}", ""), Answer(f"answer {number}", {"sources": sources})


@pytest.mark.parametrize("make_entry", [short_answer, long_answer, answer_with_fields, answer_with_objects])
def test_size_matches_traced_memory(make_entry: Callable[[int], tuple[object, Answer]]) -> None:
    """The size of a full cache is what tracemalloc measures, apart from shared objects."""
    cache = AnswerCache(4 << 20)
    gc.collect()
    tracemalloc.start()
    try:
        traced_before, _ = tracemalloc.get_traced_memory()
        ratios = []
        for number in range(200_000):
            cache.put(*make_entry(number))
            if number % 97 == 0:
                ratios.append((tracemalloc.get_traced_memory()[0] - traced_before) / cache.statistics().size)
            if cache.statistics().evicted > 2000:
                break
        assert cache.statistics().size > 0.9 * (4 << 20)
        assert max(ratios[1:]) < 1.1
        assert ratios[-1] > 0.6
    finally:
        tracemalloc.stop()
